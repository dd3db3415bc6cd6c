#!/bin/sh
# The transport `mpi` under every mpirun that is here: conformance with several processes, one that gives up, dies, stands still.
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-build/release}
case $BUILD in /*) ;; *) BUILD=$PWD/$BUILD ;; esac
program=$BUILD/test/comm/test_conformance
work=$(mktemp -d)
job='' victim=''
end() { # Nothing may be left behind, stopped processes neither.
    [ -n "$victim" ] && kill -KILL "$victim" 2>/dev/null
    [ -n "$job" ] && kill -TERM "$job" 2>/dev/null
    rm -rf "$work"
}
trap end EXIT
trap 'exit 1' INT TERM HUP
# Open MPI asks root twice; slots are cores to it, and a test has fewer.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
libraries="openmpi mpich"
# What Open MPI does within itself a sanitizer reports as ours.
if [ -n "${SANITIZED:-}" ]; then libraries=mpich; export ASAN_OPTIONS=detect_leaks=0; fi
memory=$(awk '/^MemAvailable/ { print int($2 / 1048576) }' /proc/meminfo 2>/dev/null)
count=0
SOON=30 # seconds that only what hangs takes
say() { # say STATUS NAME
    count=$((count + 1))
    if [ "$1" -eq 0 ]; then echo "ok $count - $library: $2"; else
        echo "not ok $count - $library: $2"
        sed 's/^/# /' "$work/log" | head -12
    fi
}
launch() { STENTOR_MPI=$BUILD/mpi.$library.so timeout "${limit:-100}" "$mpirun" -n "$1" "$program" mpi "$2" >"$work/log" 2>&1; }
lines() { [ "$(grep -c -E "$2" "$work/log")" -eq "$1" ]; } # lines HOW-MANY PATTERN

all_fine() { # all_fine PROCESSES CASE
    launch "$1" "$2" && lines "$1" "^rank [0-9]* of $1: status 0, 0 wrong: $"
}
# The launcher's exit code is that of the first process to end, or of the signal by which Hydra ends the others then.
all_know() { # all_know PROCESSES CASE PATTERN: the job fails, and all say so
    ! launch "$1" "$2" && lines "$1" "^rank [0-9]* of $1: status 7, 0 wrong: $3"
}
lose_second() { # lose_second SIGNAL CASE: worker 1 of 3 gets it while the others wait or send; sets how the job ended and after how many seconds
    STENTOR_MPI=$BUILD/mpi.$library.so timeout 60 "$mpirun" -n 3 "$program" mpi "$2" >"$work/log" 2>&1 &
    job=$! victim=''
    while [ -z "$victim" ] && kill -0 $job 2>/dev/null; do
        sleep 0.1
        victim=$(sed -n 's/^process //p' "$work/log")
    done
    sleep 0.5
    started=$(date +%s)
    kill -"$1" "$victim" || return 1
    wait $job
    code=$?
    job=''
    kill -KILL "$victim" 2>/dev/null
    victim=''
    seconds=$(($(date +%s) - started))
}

for library in $libraries; do
    mpirun=$(command -v mpirun.$library)
    # Without the name: whose is it?
    if [ -z "$mpirun" ] && command -v mpirun >/dev/null; then
        case $library$(mpirun --version 2>&1) in openmpi*Open*MPI* | openmpi*OpenRTE* | mpich*HYDRA*) mpirun=mpirun ;; esac
    fi
    if [ -z "$mpirun" ] || [ ! -f "$BUILD/mpi.$library.so" ]; then
        count=$((count + 1))
        echo "ok $count - $library # SKIP $library is not here, or was not when this was built"
        continue
    fi
    for processes in 1 2 3 4; do
        all_fine $processes fine; say $? "$processes processes keep what every transport promises"
    done
    all_fine 3 works; say $? "long computing without a call is no silence"
    all_fine 3 join && for i in 0 1 2; do lines 1 "launcher: $i of 3 here, MPI: $i of 3, by .*_RANK"; done
    say $? "launcher and MPI agree on who is who"
    RANK=0 WORLD_SIZE=1 launch 2 join
    lines 2 "status 1, .*unset the variables"; say $? "variables that contradict the launcher are refused"
    other=mpich
    [ $library = mpich ] && other=openmpi
    if [ -f "$BUILD/mpi.$other.so" ]; then
        STENTOR_MPI=$BUILD/mpi.$other.so timeout 100 "$mpirun" -n 2 "$program" mpi join >"$work/log" 2>&1
        lines 2 "status 1, .* of 2, MPI says 0 of 1"; say $? "an MPI that this mpirun has not started is refused"
    fi
    all_fine 3 pieces; say $? "messages travel in pieces"
    if [ -z "${SANITIZED:-}" ] && [ "${memory:-0}" -ge 8 ]; then
        limit=400; all_fine 2 large; say $? "a message of 3 GiB"; limit=
    else
        count=$((count + 1))
        echo "ok $count - $library: a message of 3 GiB # SKIP it takes 8 GiB of free memory, and no sanitizer"
    fi
    all_know 3 lose "worker 2 of 3 \(.*\) has given up"; say $? "nobody hangs when one gives up"
    all_know 3 lose-in-round "worker 2 of 3 \(.*\) has given up"; say $? "nobody hangs when one gives up inside a round"
    ! launch 2 disagree && grep -q "worker 0 sent 8 bytes where worker 1 expects 4" "$work/log"; say $? "sizes that differ are an error"
    lose_second KILL wait
    # Hydra ends all others at once, Open MPI lets them speak.
    [ $code -ne 0 ] && [ $seconds -le $SOON ] &&
        { [ $library = mpich ] || lines 2 "status 7, 0 wrong: worker 1 of 3 .* is gone"; }
    say $? "a process that dies ends the job"
    lose_second STOP wait
    # The case sets the timeout to 3 seconds.
    [ $code -ne 0 ] && [ $seconds -ge 2 ] && [ $seconds -le $SOON ] && lines 2 "worker 1 of 3 .* has been silent for 3 s; worker . .* waited"
    say $? "a process that stands still ends the job after the timeout, named by all"
    lose_second STOP send
    [ $code -ne 0 ] && [ $seconds -le $SOON ] && grep -q "^rank .* worker 1 of 3 .* has been silent for 3 s; worker . .* waited" "$work/log"
    say $? "who only sends to it does not wait for ever either"
    all_fine 2 slow; say $? "who receives slowly is not silent, nor is who sends to it"
done
