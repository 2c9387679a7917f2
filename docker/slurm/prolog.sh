#!/usr/bin/env bash
# Makes room for the spools of a job's user on this node, before the job starts (Prolog=, as root).
#
# - Not 0 makes Slurm take the node out of service: right where the disk for the spools is missing.
# - Slurm gives it next to no environment; not even PATH.
set -euo pipefail
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
root=${UPLOADER_ROOT:-/local/uploader}

# A job that was put back into the queue, and comes to this node again: its own agent takes over. Stopped,
# not killed, and waited for: two must not be on one spool, and the drain must not remove it any more.
if [ -d /run/systemd/system ]; then
    systemctl stop "uploader-$SLURM_JOB_ID.service" 2>/dev/null || true
fi

install --directory --mode 0711 "$root"
install --directory --mode 0700 --owner "$SLURM_JOB_UID" --group "$(id -g "$SLURM_JOB_UID")" \
    "$root/$SLURM_JOB_UID"
