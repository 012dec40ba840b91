#!/bin/sh
# Installs what the end-to-end tests and the benchmark run against: redis-server and redis-sentinel.
# For Debian and its relatives. Does nothing that is done already.
set -eu

missing=
for program in redis-server redis-sentinel; do
    command -v "$program" >/dev/null || missing="$missing $program"
done
# `mount` and `umount` serve the test of a full disk.
command -v mount >/dev/null || missing="$missing mount"

if [ -n "$missing" ]; then
    command -v apt-get >/dev/null || {
        echo "missing:$missing; this script knows only apt-get, install them by hand" >&2
        exit 1
    }
    as_root=
    [ "$(id -u)" -eq 0 ] || as_root=sudo
    $as_root apt-get update
    # The packages start a server on their own; a test machine needs none.
    # shellcheck disable=SC2086 # the list of packages is meant to be split
    $as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y --no-install-recommends $missing
fi

redis-server --version
