#!/bin/sh
# Installs the client libraries that the end-to-end tests write with: redis-py into a virtual environment, ioredis into
# node_modules. Both go to $BELLWETHER_TEST_CLIENTS, or test-clients in the target directory. Does nothing twice.
set -eu

redis_py=8.1.0
ioredis=6.0.0

root=$(cd "$(dirname "$0")/.." && pwd)
dir=${BELLWETHER_TEST_CLIENTS:-${CARGO_TARGET_DIR:-$root/target}/test-clients}

packages=
command -v python3 >/dev/null || packages="$packages python3 python3-venv"
python3 -c 'import ensurepip' 2>/dev/null || packages="$packages python3-venv"
command -v node >/dev/null || packages="$packages nodejs"
command -v npm >/dev/null || packages="$packages npm"
if [ -n "$packages" ]; then
    command -v apt-get >/dev/null || {
        echo "missing:$packages; this script knows only apt-get, install them by hand" >&2
        exit 1
    }
    as_root=
    [ "$(id -u)" -eq 0 ] || as_root=sudo
    $as_root apt-get update
    # shellcheck disable=SC2086 # the list of packages is meant to be split
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages
fi

mkdir -p "$dir"
[ -x "$dir/venv/bin/python" ] || python3 -m venv "$dir/venv"
"$dir/venv/bin/python" -c "import redis; assert redis.__version__ == '$redis_py'" 2>/dev/null ||
    "$dir/venv/bin/python" -m pip install --quiet --disable-pip-version-check "redis==$redis_py"

version="require('$dir/node_modules/ioredis/package.json').version"
[ "$(node -p "$version" 2>/dev/null)" = "$ioredis" ] ||
    npm install --prefix "$dir" --no-audit --no-fund --loglevel=error "ioredis@$ioredis"

echo "redis-py $redis_py and ioredis $ioredis are in $dir"
