#!/usr/bin/env bash
# Installs what the end-to-end tests and the benchmark run against: the servers and sentinels of Redis and of Valkey.
# For Debian and its relatives. Does nothing that is done already, and starts no service.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

POLICY=/usr/sbin/policy-rc.d

fail() {
  echo "$*" >&2
  exit 1
}

# The packages would start servers of their own, which a test machine does not need.
forbid_services() {
  [ ! -e "$POLICY" ] || return 0
  trap 'as_root rm -f "$POLICY"' EXIT
  printf '#!/bin/sh\nexit 101\n' | as_root tee "$POLICY" >/dev/null
  as_root chmod 755 "$POLICY"
}

mirror_of_bookworm() {
  local targets
  targets="$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Codename: bookworm')"
  head -n 1 <<<"$targets"
}

# Debian 12 has Valkey in its backports only. They are looked at for this one installation, at the mirror that this
# machine uses already, and not added to its sources. Their packages rank below all others, so nothing else changes.
install_from_backports() {
  local mirror sources status=0
  mirror="$(mirror_of_bookworm)"
  if [ -z "$mirror" ]; then
    # A machine that was never updated does not know what its sources hold.
    as_root apt-get -qq update </dev/null >/dev/null
    mirror="$(mirror_of_bookworm)"
  fi
  [ -n "$mirror" ] || fail "this machine has no source of Debian 12: install $* by hand"
  sources="$(mktemp)"
  chmod 644 "$sources"
  if [ -e /etc/apt/sources.list ]; then
    cat /etc/apt/sources.list >"$sources"
  fi
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror bookworm-backports main" >>"$sources"
  say "installing $* from the backports of Debian 12"
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o "Dir::Etc::sourcelist=$sources")
  as_root "${apt[@]}" update </dev/null >/dev/null &&
    as_root "${apt[@]}" -y --no-install-recommends install "$@" </dev/null >/dev/null || status=1
  rm -f "$sources"
  return "$status"
}

install_valkey() {
  # shellcheck source=/dev/null
  if [ "$(. /etc/os-release && echo "${VERSION_CODENAME:-}")" = bookworm ] && ! apt-cache show "$@" >/dev/null 2>&1; then
    install_from_backports "$@"
  else
    apt_install "$@"
  fi
}

redis=()
# `mount` serves the test of a full disk.
for program in redis-server redis-sentinel mount; do
  has "$program" || redis+=("$program")
done
valkey=()
for program in valkey-server valkey-sentinel; do
  has "$program" || valkey+=("$program")
done
has valkey-cli || valkey+=(valkey-tools)

if [ "${#redis[@]}" -gt 0 ] || [ "${#valkey[@]}" -gt 0 ]; then
  as_root true || fail "to install ${redis[*]} ${valkey[*]}, be root or let sudo ask for no password"
  forbid_services
fi
if [ "${#redis[@]}" -gt 0 ]; then
  apt_install "${redis[@]}" || fail "apt-get could not install ${redis[*]}"
fi
if [ "${#valkey[@]}" -gt 0 ]; then
  install_valkey "${valkey[@]}" || fail "apt-get could not install ${valkey[*]}"
fi

redis-server --version
valkey-server --version
