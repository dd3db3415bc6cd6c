#!/bin/sh
# make exact: the same bits, shown with sha256sum on the files of a checkpoint. One TAP line a comparison.
#   exact.sh          the demo's model, 200 steps, dropout 0.1, accumulation and clipping on; text: build/demo/en.txt or LICENSE
#   exact.sh small    examples/digest.yaml (seconds; part of make test)
# Compared with one worker: 2, 3, 4, 5 and 8 workers, 2 to 4 processes under MPI, workers of several threads, random and measured borders, recompute, each instruction set of this machine,
# an aarch64 build under QEMU, and a run killed with kill -9 at 20 random moments and resumed each time on another number of workers.
set -u
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build/release}
size=${1:-demo}
program=$BUILD/stentor
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
count=0 failures=0

case $size in
small)
    run=examples/digest.yaml steps=200 kills=${KILLS:-20} few=5 text=LICENSE
    options="" ;;
*)
    run=examples/demo.yaml steps=200 kills=${KILLS:-20} few=2 text=build/demo/en.txt
    [ -r $text ] || text=LICENSE
    options="--set model.dropout=0.1 --set train.batch=20 --set train.micro_batch=1 --set train.leaves=8 --set train.eval_every=0" ;;
esac
options="$options --quiet --set data.train=$text --set train.steps=$steps --set train.warmup=20"
ok() { count=$((count + 1)); echo "ok $count - $1"; }
not_ok() { count=$((count + 1)); failures=$((failures + 1)); echo "not ok $count - $1"; }
skip() { count=$((count + 1)); echo "ok $count - $1 # SKIP $2"; }
# train OUT ARGUMENTS…: one run to the end, or with --resume the rest of it.
train() {
    out=$1; shift
    # shellcheck disable=SC2086
    "$program" train $run $options --set "out=$work/$out" "$@" >"$work/$out.log" 2>&1
    ended "$out" $?
}
ended() { echo "$2" >"$work/$1.code"; return "$2"; } # ended OUT CODE: how the last run into OUT did
digest() { (cd "$work/$1/checkpoints/step-${2:-$steps}" && sha256sum weights.safetensors optimizer.safetensors) 2>/dev/null; }
compare() { # compare OUT NAME [REFERENCE] [STEPS]: both have ended with 0, and have the same bits
    codes=$(cat "$work/$1.code" "$work/${3:-one}.code" | xargs)
    if [ "$codes" = "0 0" ] && [ -n "$(digest "$1" "${4:-}")" ] && [ "$(digest "$1" "${4:-}")" = "$(digest "${3:-one}" "${4:-}")" ]; then ok "$2"; else
        not_ok "$2"; echo "# ended with ${codes% *}, and ${codes#* }"; tail -3 "$work/$1.log"; digest "$1" "${4:-}"
    fi
    [ "$1" = "${3:-one}" ] || rm -rf "${work:?}/$1"
}

train one --workers 1 || { not_ok "one worker trains"; cat "$work/one.log"; echo "1..$count"; exit 1; }
echo "# $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -1)"
digest one | sed 's/^/# /'
if [ "$size" = small ]; then # what README.md promises
    for sum in $(digest one | cut -d ' ' -f 1); do grep -q "$sum" README.md && grep -q "$sum" README.zh-CN.md || missing=$sum; done
    if [ -z "${missing:-}" ]; then ok "the digests are those that README.md prints"; else not_ok "README.md does not print $missing"; fi
fi
for workers in 2 3 4 5 8; do
    train w$workers --workers $workers
    compare w$workers "$workers workers, $steps steps"
done
train threads --workers 2 --set parallel.threads=3 --set parallel.pin=on
compare threads "2 workers of 3 threads, tied to cores"
train random --workers 3 --set parallel.balance=random
compare random "3 workers, borders at random"
train measured --workers 4 --set parallel.balance=measured --set parallel.balance_every=5
compare measured "4 workers, borders moved by measured speed"
train recompute --workers 2 --set model.recompute_layers=2
compare recompute "activations computed again"
for isa in generic neon avx2 avx512 amx; do
    if STENTOR_ISA=$isa train $isa --workers 2; then
        compare $isa "STENTOR_ISA=$isa"
    elif grep -q STENTOR_ISA "$work/$isa.log" 2>/dev/null; then skip "STENTOR_ISA=$isa" "this machine has none"
    else not_ok "STENTOR_ISA=$isa"; tail -3 "$work/$isa.log"; fi
done

# Processes, each with a copy of the weights, under every mpirun that is here.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
case $BUILD in /*) libraries=$BUILD ;; *) libraries=$PWD/$BUILD ;; esac
processes() { # processes LIBRARY NAME PROCESSES ARGUMENTS…
    library=$1 name=$2 number=$3; shift 3
    # shellcheck disable=SC2086
    STENTOR_MPI=$libraries/mpi.$library.so "mpirun.$library" -n "$number" "$program" train $run $options --set "out=$work/mpi" "$@" >"$work/mpi.log" 2>&1
    ended mpi $?
    compare mpi "$library: $name"
}
for library in openmpi mpich; do
    if [ -n "${SANITIZED:-}" ]; then skip "$library" "MPI libraries know no sanitizer"; continue; fi
    if [ ! -e "$libraries/mpi.$library.so" ] || ! command -v mpirun.$library >/dev/null; then skip "$library" "it is not here"; continue; fi
    for number in 2 3 4; do processes $library "$number processes" $number --workers 1; done
    processes $library "2 processes of 2 workers, overlapped" 2 --workers 2 --set parallel.overlap=on --set parallel.bucket_mb=0.1
    processes $library "tree, 3 processes, borders at random" 3 --workers 1 --set parallel.exchange=tree --set parallel.balance=random
done

# The other precisions: each has bits of its own, for any workers and instruction set. Few steps: they are slow without tiles.
for precision in bf16 bf16x3; do
    train $precision --workers 1 --set train.precision=$precision --set train.steps=$few --set train.eval_every=0
    train other --workers 3 --set train.precision=$precision --set train.steps=$few --set train.eval_every=0
    compare other "$precision: 3 workers, $few steps" $precision $few
    for isa in generic neon avx2 avx512 amx; do
        if STENTOR_ISA=$isa train other --workers 2 --set train.precision=$precision --set train.steps=$few --set train.eval_every=0; then
            compare other "$precision: STENTOR_ISA=$isa, $few steps" $precision $few
        elif ! grep -q STENTOR_ISA "$work/other.log" 2>/dev/null; then not_ok "$precision: STENTOR_ISA=$isa"; tail -3 "$work/other.log"; fi
    done
done

# kill -9 at random moments, resumed on another number of workers; a moment lies anywhere in an uninterrupted run's time.
seed=${SEED:-$(od -An -N2 -tu2 /dev/urandom | tr -d ' ')}
begin=$(date +%s%N); train timing --workers 2 --set train.save_every=4; end=$(date +%s%N)
milliseconds=$(((end - begin) / 1000000)); rm -rf "$work/timing"
# A run that ends before its moment does not count as a kill: it is compared, and the next one starts afresh.
resume='' killed=0 attempts=0
while [ "$killed" -lt "$kills" ] && [ $attempts -lt $((kills * 10)) ]; do
    attempts=$((attempts + 1))
    # shellcheck disable=SC2046
    set -- $(awk -v seed="$seed$attempts" -v t="$milliseconds" 'BEGIN { srand(seed); printf "%.3f %d", 0.02 + rand() * t / 1000, 1 + int(rand() * 8) }')
    # shellcheck disable=SC2086
    "$program" train $run $options --set "out=$work/killed" --set train.save_every=4 --workers "$2" $resume >"$work/killed.log" 2>&1 &
    process=$!
    sleep "$1"
    kill -9 $process 2>/dev/null
    wait $process 2>/dev/null
    code=$?
    if [ $code -eq 137 ]; then
        killed=$((killed + 1))
        [ -d "$work/killed/checkpoints" ] && resume=--resume
    else
        [ "$(digest killed)" = "$(digest one)" ] || { not_ok "a run killed and resumed (SEED=$seed) ended with $code and other bits"; break; }
        resume=
        rm -rf "$work/killed"
    fi
done
train killed --workers 3 --set train.save_every=4 --resume
if [ "$killed" -eq "$kills" ]; then
    compare killed "killed with kill -9 at $killed random moments (SEED=$seed), resumed on other numbers of workers"
else not_ok "only $killed of $kills kills landed in $attempts attempts (SEED=$seed)"; fi

# Another architecture: the few first steps, as emulation is slow.
arm=${ARM_PROGRAM:-build/release-aarch64/stentor}
reason=''
[ ! -x "$arm" ] || newer=$(find src tool include -name '*.[ch]' -newer "$arm" | head -1)
if [ -n "${SANITIZED:-}" ]; then reason="its program has no sanitizer"
elif [ ! -x "$arm" ]; then reason="$arm is not here (script/build_arm.sh makes it)"
elif [ -n "$newer" ]; then reason="$newer is newer than $arm (script/build_arm.sh makes it)"
elif ! command -v qemu-aarch64-static >/dev/null 2>&1; then reason="qemu-aarch64-static is not here"; fi
if [ -n "$reason" ]; then
    skip "aarch64 under QEMU" "$reason"
else
    options="$options --set train.steps=$few --set train.eval_every=0"
    steps=$few
    train few --workers 2
    host=$program
    program=$work/run-arm
    printf '#!/bin/sh\nexec qemu-aarch64-static "%s" "$@"\n' "$arm" >"$program"
    chmod +x "$program"
    train arm --workers 2
    compare arm "aarch64 under QEMU (neon), $few steps" few $few
    for precision in bf16 bf16x3; do
        train other --workers 2 --set train.precision=$precision
        compare other "$precision: aarch64 under QEMU (neon), $few steps" $precision $few
    done
    STENTOR_ISA=generic train arm_generic --workers 3
    compare arm_generic "aarch64 under QEMU (generic), $few steps" few $few
    program=$host
fi
echo "1..$count"
[ $failures -eq 0 ]
