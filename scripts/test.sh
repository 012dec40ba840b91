#!/usr/bin/env bash
# Runs all tests, the end-to-end tests on real servers and real clients included, and installs before that what
# they need. Arguments go to the test runner: `scripts/test.sh -p bellwether-core`, `scripts/test.sh leader`.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
cd "$ROOT"

"$ROOT/scripts/install-tools.sh" test
say "building"
# The end-to-end tests start the binary itself, which the test runner would not build.
cargo build --quiet --locked --package bellwether-cli
selection=(--workspace)
for argument in "$@"; do
  case "$argument" in
    -p | --package | -p* | --package=* | --workspace) selection=() ;;
  esac
done
exec cargo nextest run --locked "${selection[@]}" "$@"
