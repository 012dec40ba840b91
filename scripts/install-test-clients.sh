#!/usr/bin/env bash
# Installs the client libraries that the end-to-end tests write with: redis-py into a virtual environment, ioredis into
# node_modules. Both go to $BELLWETHER_TEST_CLIENTS, or test-clients in the target directory. Does nothing twice.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

redis_py=8.1.0
ioredis=5.9.2

dir="${BELLWETHER_TEST_CLIENTS:-${CARGO_TARGET_DIR:-$ROOT/target}/test-clients}"

missing=()
has python3 || missing+=(python3)
python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
has node || missing+=(nodejs)
has npm || missing+=(npm)
[ "${#missing[@]}" -eq 0 ] || apt_install "${missing[@]}"

mkdir -p "$dir"
# An interrupted installation leaves an environment without pip behind: make such a one anew.
"$dir/venv/bin/python" -m pip --version >/dev/null 2>&1 || python3 -m venv --clear "$dir/venv"
"$dir/venv/bin/python" -c "import redis; assert redis.__version__ == '$redis_py'" 2>/dev/null ||
  "$dir/venv/bin/python" -m pip install --quiet --disable-pip-version-check "redis==$redis_py"

installed() { node -p "require('$dir/node_modules/ioredis/package.json').version" 2>/dev/null || true; }
[ "$(installed)" = "$ioredis" ] ||
  npm install --prefix "$dir" --no-audit --no-fund --loglevel=error "ioredis@$ioredis"

echo "redis-py $redis_py and ioredis $ioredis are in $dir"
