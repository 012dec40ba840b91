#!/usr/bin/env bash
# Installs the client libraries that the end-to-end tests write with. Those for Python go into a virtual environment and
# those for Node.js into node_modules, both in $BELLWETHER_TEST_CLIENTS, or test-clients in the target directory; those
# for Ruby and PHP are Debian's packages. Does nothing twice.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

python=(redis==8.1.0 valkey==6.2.0 coredis==6.9.0 celery==5.7.0)
node=(ioredis@6.0.0 iovalkey@0.4.0 redis@5.12.1)

dir="${BELLWETHER_TEST_CLIENTS:-${CARGO_TARGET_DIR:-$ROOT/target}/test-clients}"

missing=()
has python3 || missing+=(python3)
python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
has node || missing+=(nodejs)
has npm || missing+=(npm)
ruby -e 'require "redis"' 2>/dev/null || missing+=(ruby ruby-redis)
php -r 'exit(class_exists("RedisSentinel") ? 0 : 1);' 2>/dev/null || missing+=(php-cli php-redis)
[ "${#missing[@]}" -eq 0 ] || apt_install "${missing[@]}"

mkdir -p "$dir"
# What was installed last time, word for word: asking each tool would take seconds. Written only at the very end, so that
# an interrupted installation begins anew.
wanted="${python[*]} ${node[*]}"
if [ "$(cat "$dir/installed" 2>/dev/null)" != "$wanted" ]; then
  rm -f "$dir/installed"
  # The two wait for different servers most of the time.
  npm install --prefix "$dir" --no-audit --no-fund --loglevel=error "${node[@]}" </dev/null &
  "$dir/venv/bin/python" -m pip --version >/dev/null 2>&1 || python3 -m venv --clear "$dir/venv"
  "$dir/venv/bin/python" -m pip install --quiet --disable-pip-version-check "${python[@]}"
  wait "$!"
  echo "$wanted" >"$dir/installed"
fi

echo "in $dir: ${python[*]} ${node[*]}; of the system: ruby-redis, php-redis"
