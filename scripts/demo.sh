#!/usr/bin/env bash
# Shows a failover: three coordinators, one primary, two replicas, a client that writes, and a kill.
# Arguments go to `bellwether demo`.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
cd "$ROOT"

if ! has redis-server && ! has valkey-server; then
  apt_install redis-server || say "no redis-server to be had: the demo uses its built-in stand-in"
fi
say "building bellwether"
cargo build --quiet --locked --package bellwether-cli
exec cargo run --quiet --locked --package bellwether-cli -- demo "$@"
