#!/usr/bin/env bash
# Bring up a throw-away SLURM on this machine: up.sh DIR, as root, with Debian's slurm-wlm and munge, without systemd.
#
#   tests/slurm/up.sh /tmp/cluster && . /tmp/cluster/env     then: sinfo, snakemake TARGET --profile slurm
#   tests/slurm/down.sh /tmp/cluster
#
# NODES virtual nodes (several slurmd on one host) claim CPUS processors, MEM MB and GPUS GPUs each, none of which
# need be there. All it writes is below DIR, and all ports are free ones, so two can run side by side. Partitions:
# `debug`, whose jobs are requeued when `high` wants their node.
set -euo pipefail
mkdir -p "${1:?usage: up.sh DIR}"
DIR=$(cd "$1" && pwd)
NODES=${NODES:-4} CPUS=${CPUS:-64} MEM=${MEM:-1000000} GPUS=${GPUS:-8}
HERE=$(cd "$(dirname "$0")" && pwd) HOST=$(hostname -s) USER_NAME=$(id -un)
trap 'tail -n 5 "$DIR"/log/* >&2; "$HERE/down.sh" "$DIR"' ERR

mkdir -p "$DIR"/{bin,gpus,log,run,spool,state}
(umask 077 && mkdir -p "$DIR/munge" && head -c 1024 /dev/urandom > "$DIR/munge/key")

# A GPU must be a character device for gres.conf, and no more than that for slurmd.
for i in $(seq 0 $((GPUS - 1))); do ln -sfn /dev/null "$DIR/gpus/gpu$i"; done

# Snakemake's jobstep plugin strips SLURM_CONF from a job's environment, so each command finds its own.
for command in sbatch scancel scontrol sinfo squeue srun; do
  printf '#!/bin/sh\nSLURM_CONF=%s exec %s "$@"\n' "$DIR/slurm.conf" "$(PATH=/usr/bin:/bin command -v $command)" \
    > "$DIR/bin/$command"
  chmod 755 "$DIR/bin/$command"
done
# It hangs for ever where there is no accounting database: nothing may ask it.
printf '#!/bin/sh\nexec sleep infinity\n' > "$DIR/bin/sacct"
cp "$DIR/bin/sacct" "$DIR/bin/sacctmgr"
chmod 755 "$DIR/bin/sacct" "$DIR/bin/sacctmgr"
echo "export PATH=$DIR/bin:\$PATH" > "$DIR/env"

read -r -a ports < <(python3 - $((NODES + 1)) <<'PYTHON'
import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(s.getsockname()[1] for s in held))
PYTHON
)

cat > "$DIR/slurm.conf" <<CONF
ClusterName=throwaway
SlurmctldHost=$HOST(127.0.0.1)
SlurmctldPort=${ports[0]}
SlurmUser=$USER_NAME
SlurmdUser=$USER_NAME
AuthType=auth/munge
AuthInfo=socket=$DIR/run/munge.socket
CredType=cred/munge
StateSaveLocation=$DIR/state
SlurmdSpoolDir=$DIR/spool/%n
SlurmctldPidFile=$DIR/run/slurmctld.pid
SlurmdPidFile=$DIR/run/slurmd-%n.pid
SlurmctldLogFile=$DIR/log/slurmctld
SlurmdLogFile=$DIR/log/slurmd-%n
AccountingStorageType=accounting_storage/none
# Each second the memory of a job's processes is looked at: too much, and they are killed.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
# The machine is smaller than what it claims.
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,batch_sched_delay=0,bf_interval=1
ReturnToService=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
# As on most clusters: what a job has from SIGTERM to SIGKILL.
KillWait=30
GresTypes=gpu
CONF
: > "$DIR/gres.conf"
for n in $(seq 1 "$NODES"); do
  echo "NodeName=n$n NodeHostname=$HOST NodeAddr=127.0.0.1 Port=${ports[n]} CPUs=$CPUS RealMemory=$MEM" \
    "Gres=gpu:$GPUS Feature=big State=UNKNOWN" >> "$DIR/slurm.conf"
  echo "NodeName=n$n Name=gpu File=$DIR/gpus/gpu[0-$((GPUS - 1))]" >> "$DIR/gres.conf"
done
cat >> "$DIR/slurm.conf" <<CONF
PartitionName=debug Nodes=n[1-$NODES] Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE
PartitionName=high Nodes=n[1-$NODES] MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
CONF

. "$DIR/env"
munged --force --key-file="$DIR/munge/key" --socket="$DIR/run/munge.socket" --pid-file="$DIR/run/munged.pid" \
  --log-file="$DIR/log/munged" --seed-file="$DIR/munge/seed" 2>> "$DIR/log/munged"
slurmctld -f "$DIR/slurm.conf"
for n in $(seq 1 "$NODES"); do slurmd -f "$DIR/slurm.conf" -N "n$n"; done
for _ in $(seq 300); do
  idle=$(sinfo --noheader --partition debug --states idle --format %D 2>> "$DIR/log/sinfo" || true)
  [ "$idle" = "$NODES" ] && exit 0
  sleep 0.1
done
echo "up.sh: of $NODES nodes, ${idle:-none} idle after 30 s" >&2
false
