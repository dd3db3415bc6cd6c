# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2034
# Sourced by the tests of this folder: finds Python, builds `exchange`, makes a folder that goes away.
# With program=NAME set before, it builds test/interop/NAME.c instead.
# Call: setup NAME MODULE..., which skips the test under NAME when no Python has the modules.

cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-build/release}
here=test/interop

find_python() { # MODULE...: prints an interpreter that has them all
    imports=$(echo "$*" | sed 's/ /, /g')
    for python in "${STENTOR_PYTHON:-}" python3; do
        if [ -n "$python" ] && "$python" -c "import $imports" >/dev/null 2>&1; then
            echo "$python"
            return 0
        fi
    done
    return 1
}

setup() {
    name=$1
    shift
    if ! python=$(find_python "$@"); then
        echo "1..1"
        echo "ok 1 - $name # SKIP no Python with $* (set STENTOR_PYTHON to one)"
        exit 0
    fi
    exchange=$BUILD/test/interop/${program:-exchange}
    if ! ${MAKE:-make} -s BUILD="$BUILD" "$exchange" >&2; then
        echo "1..1"
        echo "not ok 1 - $exchange was not built"
        exit 1
    fi
    folder=$(mktemp -d) || exit 1
    data=${STENTOR_DATA:-../shared/data} # real texts; without them the generated ones remain
    trap 'rm -rf "$folder"' EXIT
    # Nothing here may go to the network or fill a cache.
    export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 HF_HOME="$folder/cache" TOKENIZERS_PARALLELISM=false
}
