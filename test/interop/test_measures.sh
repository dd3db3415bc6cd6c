#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Our measures are sacrebleu's, rouge_score's, scikit-learn's, and those of the scripts of SQuAD and CMRC.
program=measures
# shellcheck source=test/interop/common.sh
. "$(dirname "$0")/common.sh"
setup "measures agree to 4 decimals" sacrebleu rouge_score sklearn nltk numpy
"$python" "$here/measures_agree.py" "$exchange" "$data"
