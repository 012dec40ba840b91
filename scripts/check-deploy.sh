#!/usr/bin/env bash
# Checks what lies in deploy/ as far as that goes without installing it: the configurations by Bellwether itself,
# the rest by the tools that will read it, where this machine has them.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
cd "$ROOT"

cargo build --quiet --locked --package bellwether-cli
bellwether="${CARGO_TARGET_DIR:-target}/debug/bellwether"
for file in sentinel.conf.example deploy/sentinel.conf deploy/bellwether.yaml; do
  "$bellwether" check "$file"
done

for script in scripts/*.sh .ci/run; do
  bash -n "$script"
done

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
# The containers share one file, and their commands tell which member each of them is.
for member in 1 2 3; do
  { cat deploy/docker/sentinel.conf && echo "bellwether member-id $member"; } >"$scratch/member-$member.conf"
  "$bellwether" check "$scratch/member-$member.conf"
  grep -q "^bellwether member $member sentinel-$member 26379$" deploy/docker/sentinel.conf ||
    { echo "deploy/docker/sentinel.conf: member $member is not sentinel-$member" >&2; exit 1; }
done
if "$bellwether" check deploy/docker/sentinel.conf >"$scratch/all"; then
  echo "deploy/docker/sentinel.conf makes all containers the same member" >&2
  exit 1
fi
grep -q "'member-id' must be given" "$scratch/all"
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
    member = name.removeprefix("sentinel-")
    told = ["--sentinel", "announce-ip", name, "--bellwether", "member-id", member]
    assert service["command"][2:] == told, f"{name} is told {service['command']}"
    state = [volume for volume in service["volumes"] if volume.endswith(":/data")]
    assert state == [f"{name}:/data"], "each coordinator has a state of its own"
    assert name in compose["volumes"], name
PYTHON
else
  echo "neither docker compose nor python3-yaml: the compose file is not checked"
fi
