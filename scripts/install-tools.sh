#!/usr/bin/env bash
# Installs what the tests (`test`) or all checks (`all`) need and this machine lacks.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
cd "$ROOT"

"$ROOT/scripts/install-test-servers.sh" </dev/null
"$ROOT/scripts/install-test-clients.sh" </dev/null
# The machines that tests can cut off from each other.
{ has ip && has nft && has nsenter; } || apt_install iproute2 nftables util-linux
cargo_install cargo-nextest
if [ "${1:-test}" = all ]; then
  cargo_install cargo-deny
  cargo_install cargo-fuzz 0.13.1
  # What drives the fuzz targets is C++.
  has c++ || apt_install g++
fi
