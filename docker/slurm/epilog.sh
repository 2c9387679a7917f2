#!/usr/bin/env bash
# Uploads what a job has left in its spool on this node, after the job has ended (Epilog=, as root).
#
# - The node gets its next job when this ends: so a service goes on with it, as the job's user. Without
#   systemd there are 20 s, and what remains stays in the spool.
# - Credentials: what that user's files and the node's role give; not the job's environment.
# - The spool is removed when all of it has arrived, and not before; under another name first, since the
#   next start of the job stops this at any moment (prolog.sh), and would take up the half of a spool.
# - Always 0: anything else makes Slurm take the node out of service.
set -uo pipefail
export PATH=${UPLOADER_BIN:-/opt/artifact-uploader/bin}:/usr/sbin:/usr/bin:/sbin:/bin
spool=${UPLOADER_ROOT:-/local/uploader}/$SLURM_JOB_UID/$SLURM_JOB_ID
group=$(id -g "$SLURM_JOB_UID")

[ -e "$spool/spool.db" ] || exit 0

if [ -d /run/systemd/system ]; then
    # It is tried again for as long as it takes, but for dead letters (3) and a spool that is none (6).
    # shellcheck disable=SC2016  # $1 is that shell's
    systemd-run --quiet --collect --unit="uploader-$SLURM_JOB_ID" --uid="$SLURM_JOB_UID" --gid="$group" \
        --property=Restart=on-failure --property=RestartSec=60s --property=StartLimitIntervalSec=0 \
        --property="RestartPreventExitStatus=2 3 6" --property=TimeoutStopSec=30s \
        --setenv=PATH="$PATH" \
        bash -c 'uploader drain --spool "$1" && mv -- "$1" "$1.done" && rm -r -- "$1.done"' \
        bash "$spool"
else
    # shellcheck disable=SC2016
    setpriv --reuid="$SLURM_JOB_UID" --regid="$group" --init-groups --reset-env \
        env PATH="$PATH" bash -c 'uploader drain --timeout 20s --spool "$1" && mv -- "$1" "$1.done" && rm -r -- "$1.done"' \
        bash "$spool"
fi || logger --tag uploader "job $SLURM_JOB_ID left something in $spool; to upload it, as user \
$SLURM_JOB_UID: uploader drain --spool $spool" || true
exit 0
