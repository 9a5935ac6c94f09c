#!/bin/sh
# A real Slurm on this machine, for tests: munge, a controller, two node daemons, on loopback alone.
# Needs root and Debian's packages, which it installs; neither systemd nor cgroups. Idempotent; ends
# when both nodes are idle. `stop-slurm.sh` stops only what this started.
set -eu
BASE=${1:?directory for state, logs and pid files}
CPUS=2                             # that each node claims; may exceed the machine (config_overrides)
MEM=8000                           # MB that each node claims; not enforced without cgroups
CONF=/etc/slurm/slurm.conf         # the default path: the plugin's jobstep strips SLURM_* variables
MARK='# written by tests/slurm/start-slurm.sh'

alive() { [ -s "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null; }
wait_for() { # tenths of a second, command
    tenths=$1; shift
    while ! "$@" >/dev/null 2>&1; do tenths=$((tenths - 1)); [ $tenths -gt 0 ] || return 1; sleep 0.1; done
}

if [ -e "$CONF" ] && ! grep -qF "$MARK" "$CONF"; then
    echo "$CONF is of another Slurm" >&2; exit 3
fi
if ! [ -x /usr/sbin/slurmctld ] || ! [ -x /usr/sbin/slurmd ] || ! [ -x /usr/sbin/munged ]; then
    # The services are not to start by themselves where a policy-rc.d does not say so already.
    made=
    [ -e /usr/sbin/policy-rc.d ] || { made=1; printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d; }
    status=0
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
        --no-install-recommends slurmctld slurmd slurm-client munge; } >/dev/null 2>&1 || status=3
    [ -z "$made" ] || rm /usr/sbin/policy-rc.d
    [ $status = 0 ] || { echo "Debian's packages of Slurm cannot be installed" >&2; exit 3; }
fi

HOST=$(hostname -s)                # SlurmctldHost must be the machine's own name
getent hosts "$HOST" >/dev/null || echo "127.0.0.1 $HOST" >>/etc/hosts
mkdir -p "$BASE/ctld" "$BASE/log" "$BASE/spool/node1" "$BASE/spool/node2" /run/munge /etc/slurm
cat >"$CONF" <<END
$MARK
ClusterName=test
SlurmctldHost=$HOST(127.0.0.1)
SlurmctldPort=16817
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# A requeued job waits cred_expire + 1 seconds before it starts again; 121 by default.
AuthInfo=cred_expire=10
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
MailProg=/bin/true
MpiDefault=none
# linuxproc leaves processes behind when a node goes down.
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
ReturnToService=2
StateSaveLocation=$BASE/ctld
SlurmdSpoolDir=$BASE/spool/%n
SlurmctldPidFile=$BASE/slurmctld.pid
SlurmdPidFile=$BASE/slurmd-%n.pid
SlurmctldLogFile=$BASE/log/slurmctld.log
SlurmdLogFile=$BASE/log/slurmd-%n.log
# The plugin asks squeue about finished jobs.
MinJobAge=3600
KillWait=2
SlurmdTimeout=20
SchedulerParameters=batch_sched_delay=0,sched_interval=5,bf_interval=5
DefMemPerCPU=100
NodeName=DEFAULT CPUs=$CPUS Boards=1 SocketsPerBoard=1 CoresPerSocket=$CPUS ThreadsPerCore=1 RealMemory=$MEM State=UNKNOWN
NodeName=node1 NodeHostname=$HOST NodeAddr=127.0.0.1 Port=16901
NodeName=node2 NodeHostname=$HOST NodeAddr=127.0.0.1 Port=16902
PartitionName=test Nodes=ALL Default=YES MaxTime=60 DefaultTime=10 State=UP
END

[ -s /etc/munge/munge.key ] || dd if=/dev/urandom of=/etc/munge/munge.key bs=1024 count=1 2>/dev/null
chown munge:munge /etc/munge/munge.key /run/munge
chmod 400 /etc/munge/munge.key
chmod 755 /run/munge
if ! munge -n >/dev/null 2>&1; then
    runuser -u munge -- /usr/sbin/munged --pid-file=/run/munge/munged.pid
    wait_for 50 munge -n
    cp /run/munge/munged.pid "$BASE/munged.pid"
fi

alive "$BASE/slurmctld.pid" || slurmctld 2>>"$BASE/log/start.log"
for node in node1 node2; do
    alive "$BASE/slurmd-$node.pid" || slurmd -N $node 2>>"$BASE/log/start.log"
done
both_up() { [ "$(sinfo -h -N -o %t | grep -cE '^(idle|mix|alloc)$')" = 2 ]; }
wait_for 300 both_up || { sinfo -N -R; tail -n 5 "$BASE"/log/*.log; exit 1; } >&2
