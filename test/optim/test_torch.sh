#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# 50 steps of every optimizer against PyTorch's, where Python has it.
python=${STENTOR_PYTHON:-python3}
trace=${BUILD:-build/release}/test/optim/test_optimizer
if ! "$python" -c 'import torch' 2>/dev/null; then
    echo "ok 1 - optimizers as PyTorch # SKIP $python has no torch"
    exit 0
fi
if ! [ -x "$trace" ]; then
    echo "not ok 1 - $trace is not built"
    exit 1
fi
"$trace" trace | "$python" test/optim/torch_optimizers.py
