# Shared by the scripts in this folder; sourced, never run.
# It installs what a fresh Debian machine lacks. It never asks a question and never touches what is there already.

# The root of the repository.
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }

has() { command -v "$1" >/dev/null 2>&1; }

# Runs a command as root: directly, or by sudo where that needs no password. Fails where neither is possible.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif has sudo; then
    sudo -n "$@"
  else
    return 1
  fi
}

# apt_install PACKAGE…: installs Debian packages; the package lists are refreshed only if the first try fails.
apt_install() {
  has apt-get || return 1
  say "installing $*"
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "$@")
  as_root "${apt[@]}" </dev/null >/dev/null 2>&1 && return 0
  as_root apt-get -qq update </dev/null >/dev/null 2>&1 || return 1
  as_root "${apt[@]}" </dev/null >/dev/null
}

# cargo_install TOOL [VERSION]: builds a cargo tool, with the versions that its authors tested, unless it is there.
cargo_install() {
  has "$1" && return 0
  say "building $1 (some minutes, once)"
  # Without optimisation, which would double the time and gain a second. Not in our target directory: a build under way
  # would hold its lock, and the pieces are of no use to us.
  env -u CARGO_TARGET_DIR CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --locked --debug "$1${2:+@$2}" </dev/null
}

# Cargo's own folder for installed tools is not always on PATH.
export PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
