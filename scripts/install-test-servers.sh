#!/usr/bin/env bash
# Installs what the end-to-end tests and the benchmark run against: redis-server and redis-sentinel.
# For Debian and its relatives. Does nothing that is done already.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

missing=()
# `mount` serves the test of a full disk.
for program in redis-server redis-sentinel mount; do
  has "$program" || missing+=("$program")
done
if [ "${#missing[@]}" -gt 0 ]; then
  # The package would start a server of its own, which a test machine does not need.
  export RUNLEVEL=1
  apt_install "${missing[@]}"
fi

redis-server --version
