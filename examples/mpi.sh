#!/bin/sh
# A run on several hosts that no scheduler looks after:   examples/mpi.sh hosts.txt run.yaml [--set …]
#
# hosts.txt names one host a line, each with as many processes as it shall have ("node1 slots=1"; the workers of a process are the host's
# cores). Every host has stentor and the run's files in the same place, and answers to ssh without a password.
#
# When a process dies or a host is cut off, all others end within parallel.peer_timeout, and the run goes on from its newest checkpoint with
# the hosts that answer: up to ten times in a row without a new checkpoint. The same command again goes on where this one was ended. Whatever
# the hosts, the weights are the same bits.
set -eu
hosts=${1:?usage: examples/mpi.sh HOSTS RUN.yaml [options of stentor train]}
shift
# By hand, and without restarts: mpirun --hostfile hosts.txt stentor train run.yaml --resume
exec "${STENTOR:-stentor}" launch "$hosts" --restarts 10 -- train "$@" --resume
