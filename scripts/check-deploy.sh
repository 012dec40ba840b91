#!/usr/bin/env bash
# Checks what lies in deploy/ as far as that goes without installing it: the configurations by Bellwether itself,
# the rest by the tools that will read it, where this machine has them.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
cd "$ROOT"

cargo build --quiet --locked --package bellwether-cli
bellwether="${CARGO_TARGET_DIR:-target}/debug/bellwether"
for file in sentinel.conf.example deploy/sentinel.conf deploy/bellwether.yaml deploy/docker/sentinel.conf; do
  "$bellwether" check "$file"
done

for script in scripts/*.sh .ci/run; do
  bash -n "$script"
done

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
if has systemd-analyze; then
  # The program need not be installed for the unit to be sound.
  sed 's|/usr/bin/bellwether |/bin/true |' deploy/bellwether.service >"$scratch/bellwether.service"
  systemd-analyze verify "$scratch/bellwether.service"
else
  echo "no systemd-analyze: the unit is not checked"
fi
if docker compose version >/dev/null 2>&1; then
  docker compose -f deploy/docker-compose.yml config --quiet
elif python3 -c 'import yaml' 2>/dev/null; then
  python3 - deploy/docker-compose.yml <<'PYTHON'
import sys, yaml
compose = yaml.safe_load(open(sys.argv[1]))
names = sorted(compose["services"])
assert len(names) == 3, names
for name in names:
    service = compose["services"][name]
    assert service["command"][-2:] == ["announce-ip", name], name
    state = [volume for volume in service["volumes"] if volume.endswith(":/data")]
    assert state == [f"{name}:/data"], "each coordinator has a state of its own"
    assert name in compose["volumes"], name
PYTHON
else
  echo "neither docker compose nor python3-yaml: the compose file is not checked"
fi
