#!/bin/sh
# stentor launch: the command line it makes, hosts it refuses, exit codes and signals that pass through mpirun.
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-build/release}
case $BUILD in /*) ;; *) BUILD=$PWD/$BUILD ;; esac
program=$BUILD/stentor
work=$(mktemp -d)
job=''
trap '[ -n "$job" ] && kill -TERM $job 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP
count=0
say() { # say STATUS NAME
    count=$((count + 1))
    if [ "$1" -eq 0 ]; then echo "ok $count - $2"; else
        echo "not ok $count - $2"
        sed 's/^/# /' "$work/log" | head -8
    fi
}
skip() { count=$((count + 1)); echo "ok $count - $1 # SKIP $2"; }
fails() { # fails CODE PATTERN ARGUMENTS…
    wanted=$1 pattern=$2
    shift 2
    PATH=${search:-$PATH} "$program" launch "$@" >"$work/log" 2>&1
    [ $? -eq "$wanted" ] && grep -q -e "$pattern" "$work/log" && [ "$(wc -l <"$work/log")" -eq 1 ]
}
prints() { # prints PATTERN ARGUMENTS…
    pattern=$1
    shift
    "$program" launch --print "$@" >"$work/log" 2>"$work/err" && grep -q -e "$pattern" "$work/log" && [ ! -s "$work/err" ]
}

fails 2 "what to start is missing" -n 2; say $? "a launch needs a command"
fails 2 "what to start is missing"; say $? "a launch of nothing is refused"
search=
fails 2 "not openmpi or mpich" -n 2 --mpi lam -- train x.yaml; say $? "unknown libraries are refused"
fails 2 "is not a whole number from 1" -n 0 -- train x.yaml; say $? "a number of processes is at least 1"
fails 2 "did you mean --print" -n 2 --pront -- train x.yaml; say $? "unknown options are refused"
[ -f "$BUILD/mpi.openmpi.so" ] || [ -f "$BUILD/mpi.mpich.so" ] && { fails 2 "is for train" -n 2 --restarts 1 -- eval x; say $? "restarts are for train"; }
fails 3 "cannot open $work/none" "$work/none" -- train x.yaml; say $? "a file of hosts that is missing is named"
bad() { # bad LINE PATTERN: in line 3 of the file
    printf '# hosts\nnode1 slots=2\n%s\n' "$1" >"$work/hosts"
    fails 3 "$work/hosts:3: $2" "$work/hosts" -- train x.yaml
    say $? "a line of hosts is refused: $1"
}
bad "node2 slots=x" '"x" slots; it must be a whole number from 1 to 4096'
bad "node2:0" '"0" slots'
bad "node2 slots=2 and=more" '"and=more" behind node2'
bad "-oProxyCommand=x" ".* is no name of a host"
bad "node2,node3" ".* is no name of a host"
bad "node2:2 slots=3" ".*slots=3\" behind node2"
printf '\n  # nothing\n' >"$work/hosts"
fails 3 "names no host" "$work/hosts" -- train x.yaml; say $? "a file without hosts is refused"
printf 'a\0b' >"$work/hosts"
fails 3 "no text" "$work/hosts" -- train x.yaml; say $? "a file that is no text is refused"

for library in openmpi mpich; do
    if [ ! -f "$BUILD/mpi.$library.so" ] || ! command -v mpirun.$library >/dev/null; then
        skip "launch by $library" "$library is not here"
        continue
    fi
    printf 'node1 slots=2 # two\r\nnode2:3\n\nnode-3.example\n' >"$work/hosts"
    prints "hosts\{0,1\} node1:2,node2:3,node-3.example:1 -n 6 $program train run.yaml --set a=b$" "$work/hosts" --mpi $library -- train run.yaml --set a=b
    say $? "$library: hosts and words behind -- reach mpirun"
    prints "-n 4 $program" "$work/hosts" --mpi $library -n 4 -- train run.yaml; say $? "$library: fewer processes than slots"
    fails 2 "has 6 slots" "$work/hosts" --mpi $library -n 7 -- train run.yaml; say $? "$library: more processes than slots are refused"
    prints "-n [1-9][0-9]* $program train run.yaml$" --mpi $library -- train run.yaml; say $? "$library: without hosts and -n a process for each core here"
    search=/nonexistent
    fails 1 "there is no mpirun here" -n 2 --mpi $library -- train run.yaml; say $? "$library: a missing mpirun is named"
    search=''
    [ -n "${SANITIZED:-}" ] && continue
    "$program" launch -n 3 --mpi $library -- --version >"$work/log" 2>&1 && [ "$(grep -c '^stentor ' "$work/log")" -eq 3 ]
    say $? "$library: as many processes run"
    "$program" launch -n 2 --mpi $library -- inspect "$work/none" >"$work/log" 2>&1
    [ $? -eq 3 ]; say $? "$library: the exit code comes back"
done
[ $count -gt 0 ]
