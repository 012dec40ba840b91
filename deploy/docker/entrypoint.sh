#!/bin/sh
# Starts a coordinator from a configuration in its own volume. A single file that is mounted into a container cannot be
# replaced by a rename, which is how Bellwether saves its state; a file in a mounted directory can.
set -eu

template="${BELLWETHER_TEMPLATE:-/etc/bellwether/sentinel.conf}"
live=/data/sentinel.conf

if [ ! -e "$live" ]; then
  cp "$template" "$live.new"
  if [ -n "${BELLWETHER_ANNOUNCE:-}" ]; then
    # The name by which the other coordinators and the clients reach this one.
    printf '\nsentinel announce-ip %s\n' "$BELLWETHER_ANNOUNCE" >>"$live.new"
  fi
  chmod 600 "$live.new"
  mv "$live.new" "$live"
fi
exec bellwether server "$live" "$@"
