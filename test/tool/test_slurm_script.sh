#!/bin/sh
# What examples/slurm.sh makes of the codes that a run ends with: srun and scontrol are stand-ins.
set -u
cd "$(dirname "$0")/../.." || exit 1
command -v bash >/dev/null || { echo "ok 1 - the script # SKIP bash is not here"; echo "1..1"; exit 0; }
example=$PWD/examples/slurm.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP
cd "$work" || exit 1
mkdir bin
# shellcheck disable=SC2016
printf '#!/bin/sh\n[ -n "${ABSENT:-}" ] || echo there >"$6"\nexit "$CODE"\n' >bin/srun
# shellcheck disable=SC2016
printf '#!/bin/sh\necho "$@" >>asked\n' >bin/scontrol
chmod +x bin/srun bin/scontrol
count=0
ends() { # ends CODE RESTARTS: the script of job 7, whose run ends so; what it did comes into asked and log
    rm -f asked
    CODE=$1 SLURM_RESTART_COUNT=$2 SLURM_JOB_ID=7 SLURM_NTASKS=1 PATH=$work/bin:$PATH bash "$example" run.yaml >log 2>&1
    code=$?
    [ -n "${ABSENT:-}" ] || [ $code -eq "$1" ]
}
requeues() { ends "$@" && [ "$(cat asked 2>/dev/null)" = "requeue 7" ] && grep -q "goes on later (start $(($2 + 2)))" log; }
stays() { ends "$@" && [ ! -f asked ]; }
clean() { ! ls .stentor-* >/dev/null 2>&1; }
say() { # say STATUS NAME
    count=$((count + 1))
    if [ "$1" -eq 0 ]; then echo "ok $count - $2"; else
        echo "not ok $count - $2"
        sed 's/^/# /' log
    fi
}

stays 0 0 && grep -q "job 7: done" log && clean; say $? "a run that is done is done"
requeues 75 0 && requeues 75 9 && clean; say $? "a run that stopped goes on, however often"
requeues 5 9; say $? "a lost worker after nine requeues is the first"
requeues 137 10 && requeues 5 11 && requeues 143 12 && requeues 5 13; say $? "so are four more"
stays 5 14 && grep -q "died 6 times.*does not go on" log && clean; say $? "a run that dies a sixth time stays, and says so"
requeues 5 15 && requeues 75 16 && clean; say $? "a stop in between begins to count anew"
stays 2 0 && clean; say $? "a run file that is wrong is not tried again"
export ABSENT=1
requeues 0 3 && [ $code -eq 5 ]; say $? "a task that was never there is a death"
unset ABSENT
STENTOR_RESTARTS=1
export STENTOR_RESTARTS
stays 5 17 && grep -q "died 2 times" log; say $? "STENTOR_RESTARTS says how often"
echo "1..$count"
