#!/usr/bin/env bash
# Installs what the tests (`test`) or all checks (`all`) need and this machine lacks.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
cd "$ROOT"

# The servers under test, the reference beside which the benchmark runs, and what the client tests need.
declare -A package_of=(
  [redis-server]=redis-server
  [redis-sentinel]=redis-sentinel
  [redis-cli]=redis-tools
  [ip]=iproute2
  [python3]=python3
)
missing=()
for program in "${!package_of[@]}"; do
  has "$program" || missing+=("${package_of[$program]}")
done
python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
if [ ${#missing[@]} -gt 0 ]; then
  apt_install "${missing[@]}" || say "could not install ${missing[*]}: tests that need them will fail"
fi

"$ROOT/scripts/install-test-clients.sh"
cargo_install cargo-nextest cargo-nextest
if [ "${1:-test}" = all ]; then
  cargo_install cargo-deny cargo-deny
fi
