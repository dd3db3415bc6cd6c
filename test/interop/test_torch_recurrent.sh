#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Recurrent language models from PyTorch's weights: 40 steps of AdamW give the losses of nn.LSTM, nn.GRU and nn.RNN.
# shellcheck source=test/interop/common.sh
. "$(dirname "$0")/common.sh"
setup "training steps give the losses of PyTorch's recurrent layers" torch safetensors numpy
"$python" "$here/torch_recurrent.py" "$exchange" "$folder"
