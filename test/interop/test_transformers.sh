#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# transformers loads our directories, we load its: same logits, same ids, same text.
# shellcheck source=test/interop/common.sh
. "$(dirname "$0")/common.sh"
setup "our directories and transformers' agree" torch transformers tokenizers safetensors numpy
"$python" "$here/transformers_agree.py" "$exchange" "$folder"
