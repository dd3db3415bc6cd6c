#!/bin/sh
# examples/slurm.sh under a Slurm of one machine (munged, slurmctld and slurmd in a scratch folder): a job that is signalled before its time is over, and one
# that is preempted, go back into the queue and finish with the bits of an undisturbed run. Skips where Slurm is not installed or cannot run.
set -u
skip_all() { echo "ok 1 - jobs under Slurm go on # SKIP $1"; echo "1..1"; exit 0; }
PATH=$PATH:/usr/sbin:/sbin
[ -z "${SANITIZED:-}" ] || skip_all "nothing of it is for a sanitizer"
for needed in munged slurmctld slurmd sbatch srun scontrol scancel bash; do
    command -v $needed >/dev/null 2>&1 || skip_all "$needed is not here (Debian: slurmctld slurmd slurm-client munge)"
done
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-build/release}
STENTOR=$(cd "$BUILD" && pwd)/stentor
example=$(pwd)/examples/slurm.sh
work=$(mktemp -d)
export STENTOR SLURM_CONF="$work/slurm.conf"
daemons='' runs=''
stop_all() {
    if [ -n "$runs" ]; then # without slurmctld each call takes a minute
        scancel --state=RUNNING --signal=KILL --full --user="$(id -un)" 2>/dev/null
        scancel --user="$(id -un)" 2>/dev/null
    fi
    for daemon in $daemons; do kill "$daemon" 2>/dev/null; done
    for daemon in $daemons; do wait "$daemon" 2>/dev/null; done
    rm -rf "$work"
}
trap stop_all EXIT
trap 'exit 1' INT TERM HUP
count=0 failures=0
ok() { count=$((count + 1)); echo "ok $count - $1"; }
not_ok() { count=$((count + 1)); failures=$((failures + 1)); echo "not ok $count - $1"; }
within() { # within SECONDS COMMAND…: whether it holds within so many seconds
    left=$1; shift
    while ! "$@" >/dev/null 2>&1; do [ "$left" -gt 0 ] || return 1; left=$((left - 1)); sleep 1; done
}
digest() { sed -n 's/.*\([0-9a-f]\{64\}\).*/\1/p' "$1" | tail -1; }

cd "$work" || exit 1
chmod 755 . # munged wants it so
host=$(uname -n | cut -d . -f 1) user=$(id -un) port=$((20000 + $$ % 20000))
mkdir state spool
(umask 077 && head -c 1024 /dev/urandom >munge.key)
cat >slurm.conf <<END
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$work/munge.socket,cred_expire=5
CredType=cred/munge
SlurmctldPort=$port
SlurmdPort=$((port + 1))
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
SlurmdParameters=config_overrides
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=1,sched_interval=1
SelectType=select/linear
KillWait=10
MpiDefault=none
NodeName=$host NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
munged --foreground --force --socket="$work/munge.socket" --key-file="$work/munge.key" --pid-file="$work/munged.pid" \
    --log-file="$work/munged.log" --seed-file="$work/munge.seed" --num-threads=2 >munged.out 2>&1 & daemons="$daemons $!"
within 10 test -S munge.socket || skip_all "munged does not run here: $(tail -1 munged.out)"
slurmctld -D >slurmctld.out 2>&1 & daemons="$daemons $!"
slurmd -D >slurmd.out 2>&1 & daemons="$daemons $!"
within 30 sh -c 'sinfo -h -o %T | grep -qx idle' ||
    skip_all "slurmctld and slurmd do not run here: $(cat slurmctld.out slurmd.out | grep -i -E 'error|fatal' | tail -1)"

runs=1
i=0; while [ $i -lt 300 ]; do echo "line $i: the quick brown fox jumps over the lazy dog"; i=$((i + 1)); done >text.txt
cat >run.yaml <<'END'
model: {layers: 2, heads: 2, width: 48, context: 64, dropout: 0.1}
data: {train: text.txt}
train: {steps: 1500, batch: 8, micro_batch: 2, warmup: 4, eval_every: 0, save_every: 50}
parallel: {workers: 2}
END
"$STENTOR" train run.yaml --out whole --quiet 2>whole.err --json >whole.json
restarts() { scontrol show job "$1" | sed -n 's/.*Restarts=\([0-9]*\).*/\1/p'; }
# Slurm lets a requeued job wait for two minutes; it may need more than one start, while the step before is still being cleaned away.
completed() { scontrol update jobid="$1" StartTime=now 2>/dev/null; scontrol show job "$1" | grep -q 'JobState=COMPLETED'; }
pending() { scontrol show job "$1" | grep -q 'JobState=PENDING'; }
saved() { ls "$1"/checkpoints/step-*; }
# job NAME TASKS COMMAND…: submits a job that trains into NAME, disturbs it with COMMAND JOB once it has a checkpoint, and compares.
job() {
    name=$1 tasks=$2; shift 2
    job=$(sbatch --parsable --nodes=1 --ntasks="$tasks" --ntasks-per-node="$tasks" --cpus-per-task=1 --output="$name.log" "$example" run.yaml --out "$name")
    within 60 saved "$name" || { not_ok "$name: it starts"; tail -3 "$name.log" slurmd.out; return; }
    "$@" "$job"
    within 60 pending "$job" || { not_ok "$name: the job is back in the queue"; tail -3 "$name.log"; return; }
    ok "$name: the job is back in the queue"
    # Slurm would wait two minutes; until the step that was has gone, one of the same number cannot be launched.
    within 30 sh -c '! ls "$1"/spool/*_"$2".* 2>/dev/null' - "$work" "$job"
    if within 120 completed "$job"; then ok "$name: it is finished"; else not_ok "$name: it is finished"; tail -5 "$name.log"; return; fi
    if [ "$(restarts "$job")" -ge 1 ] && grep -q "goes on where it is" "$name.log"; then ok "$name: after a restart"; else not_ok "$name: restarts $(restarts "$job")"; fi
    if [ -n "$(digest "$name.log")" ] && [ "$(digest "$name.log")" = "$(digest whole.json)" ]; then ok "$name: the bits of an undisturbed run"; else not_ok "$name: other bits"; fi
}
job signalled 1 scancel --signal=USR1 --batch
if grep -q 'its checkpoint is written' signalled.log && grep -q 'ended with 75, goes on later' signalled.log; then
    ok "signalled: ended by itself, with a checkpoint and code 75"
else not_ok "signalled: ended by itself, with a checkpoint and code 75"; fi
job preempted 1 scontrol requeue
if [ ! -f "$(dirname "$STENTOR")/mpi.openmpi.so" ]; then count=$((count + 1)); echo "ok $count - tasks # SKIP Open MPI is not here, or was not when this was built"
elif ! srun --mpi=list 2>&1 | grep -q pmix; then count=$((count + 1)); echo "ok $count - tasks # SKIP this Slurm has no pmix"
else job tasks 2 scancel --signal=USR1 --batch; fi
echo "1..$count"
[ $failures -eq 0 ]
