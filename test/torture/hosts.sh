# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154
# To be sourced: a few hosts on this machine. Each is a network namespace with a host name of its own; wire.c joins them by a network with a
# chosen speed, delay and loss, and a cable that can be pulled. Needs root, ip(8), /dev/net/tun, a C compiler, and Open MPI. The caller sets
# `work`, a folder of its own, and `hosts_folder`, where this lies.
#
#   hosts_can                    says why not, "" where it can
#   hosts_start N [WORD…]        hosts h0 … at 10.213.7.1 …; words of wire.c: rate=100 delay=20 loss=1 cut=2
#   hosts_on I COMMAND…          runs it on host I; ssh and mpirun reach the other hosts from there
#   hosts_cut I, hosts_heal      pulls the cable of host I, which was `cut` above; puts it back
#   hosts_stop                   all of it is gone, with what still runs there
# and $work/hosts.txt names them.
hosts_prefix=h$$x hosts_wire='' hosts_count=0
hosts_can() {
    [ "$(id -u)" -eq 0 ] || { echo "not root"; return; }
    for needed in ip unshare hostname mpirun.openmpi "${CC:-gcc}"; do command -v "$needed" >/dev/null 2>&1 || { echo "$needed is not here"; return; }; done
    [ -c /dev/net/tun ] || { echo "no /dev/net/tun"; return; }
    ip netns add "$hosts_prefix-try" 2>/dev/null || { echo "no network namespaces"; return; }
    ip netns exec "$hosts_prefix-try" unshare --uts true 2>/dev/null || echo "nothing can be run in another namespace"
    ip netns del "$hosts_prefix-try" 2>/dev/null
}
hosts_on() {
    hosts_i=$1; shift
    ip netns exec "$hosts_prefix$hosts_i" unshare --uts sh -c 'hostname "$0" && exec "$@"' "h$hosts_i" \
        env PATH="$work/bin:$PATH" OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_plm_rsh_no_tree_spawn=1 OMPI_MCA_pml=ob1 \
        OMPI_MCA_btl=tcp,self OMPI_MCA_btl_tcp_if_include=wire0 OMPI_MCA_oob_tcp_if_include=wire0 OMPI_MCA_hwloc_base_binding_policy=none "$@"
}
hosts_start() {
    hosts_count=$1; shift
    mkdir -p "$work/bin" && "${CC:-gcc}" -O2 -D_GNU_SOURCE -o "$work/wire" "$hosts_folder/wire.c" || return 1
    hosts_names=''
    for hosts_i in $(seq 0 $((hosts_count - 1))); do
        ip netns add "$hosts_prefix$hosts_i" || return 1
        hosts_names="$hosts_names $hosts_prefix$hosts_i"
    done
    # shellcheck disable=SC2086
    "$work/wire" "$@" $hosts_names >"$work/wire.out" 2>"$work/wire.err" & hosts_wire=$!
    for hosts_i in $(seq 50); do grep -q ready "$work/wire.out" 2>/dev/null && break; sleep 0.1; done
    : >"$work/hosts.txt"
    for hosts_i in $(seq 0 $((hosts_count - 1))); do
        ip -n "$hosts_prefix$hosts_i" addr add "10.213.7.$((hosts_i + 1))/24" dev wire0 &&
            ip -n "$hosts_prefix$hosts_i" link set wire0 up && ip -n "$hosts_prefix$hosts_i" link set lo up || return 1
        echo "10.213.7.$((hosts_i + 1)) slots=1" >>"$work/hosts.txt"
    done
    # Options, a host's address, a command for the shell there; who is cut off is not reached.
    cat >"$work/bin/ssh" <<END
#!/bin/sh
while :; do case \$1 in -[oplFi]) shift 2 ;; -*) shift ;; *) break ;; esac; done
host=\$((\${1##*.} - 1)); shift
cut=\$(cat "$work/cut" 2>/dev/null) here=\$(hostname)
[ -z "\$cut" ] || [ "\$here" = "h\$host" ] || { [ "\$cut" != "\$host" ] && [ "\$here" != "h\$cut" ]; } || { sleep 1; exit 255; }
exec ip netns exec "$hosts_prefix\$host" unshare --uts sh -c "hostname h\$host && \$*"
END
    chmod +x "$work/bin/ssh"
    rm -f "$work/cut"
}
hosts_cut() { echo "$1" >"$work/cut"; kill -USR1 "$hosts_wire"; }
hosts_heal() { rm -f "$work/cut"; kill -USR2 "$hosts_wire"; }
hosts_stop() {
    [ "$hosts_count" -gt 0 ] || return 0
    for hosts_i in $(seq 0 $((hosts_count - 1))); do
        for hosts_process in $(ip netns pids "$hosts_prefix$hosts_i" 2>/dev/null); do kill -9 "$hosts_process" 2>/dev/null; done
    done
    [ -z "$hosts_wire" ] || { kill "$hosts_wire" 2>/dev/null; wait "$hosts_wire" 2>/dev/null; }
    for hosts_i in $(seq 0 $((hosts_count - 1))); do ip netns del "$hosts_prefix$hosts_i" 2>/dev/null; done
    hosts_wire='' hosts_count=0
}
