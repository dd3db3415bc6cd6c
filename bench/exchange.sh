#!/bin/sh
# How long do gradients and weights take between 2 processes, against the MPI libraries' own blocking MPI_Allreduce of as many bytes?
#
# Our exchange under Open MPI and under MPICH and both libraries' all-reduce (bench/mpi/all_reduce.c) take turns, TURNS times; medians of
# the turns' medians, and the least of all rounds, which a busy machine disturbs less. of_best: our time over the better library's
# all-reduce. One line of JSON for each exchange and size.
# WAY=direct measures that one alone, as the libraries' program has its all-reduce alone: where all take turns each finds the caches full of the others' memory.
#   bench/exchange.sh [sizes, default "1000000 4000000 25000000 100000000 500000000"] [turns, default 5] [ranks, default 2]
set -eu
cd "$(dirname "$0")/.."
BUILD=${BUILD:-build/release}
sizes=${1:-1000000 4000000 25000000 100000000 500000000}
turns=${2:-5} ranks=${3:-2} rounds=${ROUNDS:-5}
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
libraries=
for library in openmpi mpich; do
    if command -v mpicc.$library mpirun.$library >/dev/null; then
        mpicc.$library -O2 bench/mpi/all_reduce.c -o "$work/all_reduce.$library" 2>/dev/null && libraries="$libraries $library"
    fi
done
[ -n "$libraries" ] || { echo "bench/exchange.sh: neither Open MPI nor MPICH can be found (mpicc.openmpi, mpicc.mpich)" >&2; exit 1; }
list=$(echo "$sizes" | tr ' ' ',')
i=0
while [ $i -lt "$turns" ]; do
    for library in $libraries; do
        mpirun.$library -n "$ranks" "$BUILD/stentor" bench exchange --transport mpi --sizes "$list" --rounds "$rounds" --bucket-mb "${BUCKET_MB:-25}" ${WAY:+--exchange "$WAY"} --json |
            sed "s/^{/{\"library\": \"$library\", /" >>"$work/ours"
        # shellcheck disable=SC2086
        mpirun.$library -n "$ranks" "$work/all_reduce.$library" "$rounds" $sizes | sed "s/^/$library /" >>"$work/theirs"
    done
    i=$((i + 1))
done
${STENTOR_PYTHON:-python3} - "$work" <<'END'
import json, statistics, sys
ours, theirs = {}, {}
for line in open(sys.argv[1] + "/ours"):
    d = json.loads(line)
    if d["exchange"] != "all-reduce":
        ours.setdefault((d["bytes"], d["exchange"], d["library"]), []).append((d["seconds"], d["least_seconds"]))
for line in open(sys.argv[1] + "/theirs"):
    library, size, seconds, least = line.split()
    theirs.setdefault((int(size), library), []).append((float(seconds), float(least)))
def middle(rows): return statistics.median(r[0] for r in rows)
def least(rows): return min(r[1] for r in rows)
for (size, way, library), rows in sorted(ours.items()):
    peers = {l: r for (b, l), r in theirs.items() if b == size}
    line = {"bench": "exchange", "exchange": way, "library": library, "bytes": size}
    for name, of in ("median", middle), ("least", least):
        line[name + "_ms"] = round(1e3 * of(rows), 3)
        line[name + "_all_reduce_ms"] = {l: round(1e3 * of(r), 3) for l, r in sorted(peers.items())}
        line[name + "_of_best"] = round(of(rows) / min(of(r) for r in peers.values()), 2)
    print(json.dumps(line))
END
