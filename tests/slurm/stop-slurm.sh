#!/bin/sh
# Stops only what start-slurm.sh started, by its pid files; jobs first.
set -u
BASE=${1:?directory given to start-slurm.sh}
MARK='# written by tests/slurm/start-slurm.sh'
ours() { case "$(cat "/proc/$1/comm" 2>/dev/null)" in slurmd | slurmctld | munged) ;; *) false ;; esac; }
stop() {
    for file in "$@"; do [ -s "$file" ] && pid=$(cat "$file") && ours "$pid" && kill "$pid"; done
    for file in "$@"; do
        [ -s "$file" ] && pid=$(cat "$file") || continue
        tenths=0
        while ours "$pid" && [ $tenths -lt 150 ]; do tenths=$((tenths + 1)); sleep 0.1; done
        rm -f "$file"
    done
}
if [ -s "$BASE/slurmctld.pid" ] && ours "$(cat "$BASE/slurmctld.pid")"; then
    squeue -h -o %A | xargs -r scancel # so that no slurmstepd is left behind
    tenths=0
    while [ -n "$(squeue -h)" ] && [ $tenths -lt 100 ]; do tenths=$((tenths + 1)); sleep 0.1; done
fi
stop "$BASE"/slurmd-*.pid "$BASE/slurmctld.pid"
stop "$BASE/munged.pid"
grep -qsF "$MARK" /etc/slurm/slurm.conf && rm -f /etc/slurm/slurm.conf
exit 0
