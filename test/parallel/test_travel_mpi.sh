#!/bin/sh
# Slices travel between processes: every exchange under every mpirun that is here gives what a single process computes.
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-build/release}
case $BUILD in /*) ;; *) BUILD=$PWD/$BUILD ;; esac
program=$BUILD/test/parallel/test_travel
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Open MPI asks root twice; slots are cores to it, and a test has fewer.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
if [ -n "${SANITIZED:-}" ]; then echo "ok 1 - mpi # SKIP MPI libraries know no sanitizer"; exit 0; fi
count=0 failed=0
say() { # say STATUS NAME
    count=$((count + 1))
    if [ "$1" -eq 0 ]; then echo "ok $count - $2"; else
        failed=1
        echo "not ok $count - $2"
        sed 's/^/# /' "$work/log" | head -12
    fi
}
for library in openmpi mpich; do
    mpirun=$(command -v mpirun.$library)
    if [ -z "$mpirun" ] || [ ! -f "$BUILD/mpi.$library.so" ]; then
        count=$((count + 1))
        echo "ok $count - $library # SKIP not here, or not when this was built"
        continue
    fi
    for processes in 1 2 3 4; do
        STENTOR_MPI=$BUILD/mpi.$library.so timeout 200 "$mpirun" -n $processes "$program" mpi >"$work/log" 2>&1 &&
            [ "$(grep -c '^good: ' "$work/log")" -eq $processes ]
        say $? "$library: $processes processes: the bits of one, ring and native repeat, weights reach everybody"
    done
done
echo "1..$count"
exit $failed
