#!/bin/bash
# A run under Slurm that outlives its time limit, preemption and lost nodes:   sbatch examples/slurm.sh run.yaml [--set …]
# One task a node; its workers are the node's cores, and the weights are the same bits for any number of either. Change the five lines
# below, or say so on the command line (sbatch --nodes=4 …). Fewer nodes than before, or more: it goes on all the same.
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=24:00:00
#SBATCH --output=stentor-%j.log
# Two minutes before the end SIGUSR1 comes to this script: checkpoint, code 75, and back into the queue.
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -u
# Several tasks find each other through MPI: pmix for Open MPI, pmi2 for MPICH (srun --mpi=list shows what is there).
mpi=${STENTOR_SRUN_MPI:-$([ "$SLURM_NTASKS" -gt 1 ] && echo pmix || echo none)}

# srun has been seen to return 0 though Slurm could not launch a task; each task says that it is there.
there=$PWD/.stentor-$SLURM_JOB_ID-${SLURM_RESTART_COUNT:-0}
# shellcheck disable=SC2016
srun --mpi="$mpi" --kill-on-bad-exit=1 sh -c 'echo there >>"$0" && exec "$@"' "$there" "${STENTOR:-stentor}" train "$@" --resume &
run=$!
# srun passes SIGUSR1 on to every task. A signal interrupts `wait`, whose result then says nothing about the run.
trap 'kill -USR1 $run 2>/dev/null' USR1
while
    wait $run
    code=$?
    kill -0 $run 2>/dev/null
do :; done

[ "$code" -ne 0 ] || [ -s "$there" ] || code=5
rm -f "$there"
again() {
    echo "job $SLURM_JOB_ID: ended with $code, goes on later (start $((${SLURM_RESTART_COUNT:-0} + 2)))"
    scontrol requeue "$SLURM_JOB_ID"
}

# 75: stopped with a checkpoint. 5 and what signals end (128 and more): a worker was lost. All go on from the newest checkpoint; a run
# that dies more than five times, and never stops as it should in between, is looked at by a person.
deaths=$PWD/.stentor-$SLURM_JOB_ID-deaths
case $code in
0)
    rm -f "$deaths"
    echo "job $SLURM_JOB_ID: done"
    ;;
75)
    rm -f "$deaths"
    again
    ;;
5 | 1[3-9][0-9])
    echo "$code" >>"$deaths"
    died=$(($(wc -l <"$deaths")))
    if [ "$died" -le "${STENTOR_RESTARTS:-5}" ]; then
        again
    else
        rm -f "$deaths"
        echo "job $SLURM_JOB_ID: ended with $code, as it died $died times without a stop of its own; it does not go on by itself"
    fi
    ;;
*) rm -f "$deaths" ;;
esac
exit $code
