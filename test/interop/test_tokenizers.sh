#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Hugging Face's tokenizers gives the ids that ours gives, on every line; trained on the same text, it learns the same merges.
# shellcheck source=test/interop/common.sh
. "$(dirname "$0")/common.sh"
setup "our tokenizers are Hugging Face's" tokenizers
"$python" "$here/tokenizers_agree.py" "$BUILD/stentor" "$data" "$folder"
