#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# 100 steps of AdamW from the same weights on the same batches: PyTorch's losses to 1e-4.
# shellcheck source=test/interop/common.sh
. "$(dirname "$0")/common.sh"
setup "100 steps of AdamW give PyTorch's losses" torch transformers numpy
"$python" "$here/torch_training.py" "$exchange" "$folder"
