#!/usr/bin/env bash
# End the cluster that up.sh brought up in DIR: its jobs, then its daemons, and nothing else. DIR itself stays.
set -uo pipefail
DIR=$(cd "${1:?usage: down.sh DIR}" && pwd)

if [ -s "$DIR/run/slurmctld.pid" ]; then
  . "$DIR/env"
  scancel --user "$(id -un)" 2> /dev/null
  for _ in $(seq 400); do
    [ -z "$(squeue --noheader 2> /dev/null)" ] && break
    sleep 0.1
  done
fi

# A pid file may be older than its daemon: only a process that was started on this folder is ours.
ours() { tr '\0' ' ' 2> /dev/null < "/proc/$1/cmdline" | grep -qF "$DIR/"; }
for file in "$DIR"/run/slurmd-*.pid "$DIR"/run/slurmctld.pid "$DIR"/run/munged.pid; do
  pid=$(cat "$file" 2> /dev/null) || continue
  ours "$pid" && kill "$pid"
  for _ in $(seq 100); do
    ours "$pid" || break
    sleep 0.1
  done
  ours "$pid" && kill -KILL "$pid"
done
exit 0
