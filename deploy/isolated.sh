#!/bin/sh
# Run a command with no network but a loopback of its own: what listens inside cannot be reached from outside.
#
#   deploy/isolated.sh .venv/bin/longstream serve --config service.yaml
#
# Needs the right to make network namespaces: root, or user namespaces (then the command sees itself as root).
# How to reach the API from outside through a Unix socket: deploy/security.md.
set -eu

[ $# -gt 0 ] || { echo "usage: $0 COMMAND [ARGUMENT...]" >&2; exit 2; }

if [ "$(id -u)" -eq 0 ]; then
    set -- unshare --net -- sh -c 'ip link set lo up && exec "$@"' sh "$@"
else
    set -- unshare --net --user --map-root-user -- sh -c 'ip link set lo up && exec "$@"' sh "$@"
fi
exec "$@"
