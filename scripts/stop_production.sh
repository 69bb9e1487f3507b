#!/bin/sh
# Stops what start_production.sh started. Requests, jobs and data are safe: everything drains, volumes stay.
set -eu

case ${1-} in
    '') ;;
    -h | --help)
        echo "usage: scripts/stop_production.sh"
        echo "Stops all services of docker-compose.prod.yml, each within its grace period. Volumes (the data) stay."
        exit 0
        ;;
    *) echo "stop: there is no option '$1'" >&2; exit 2 ;;
esac

cd "$(dirname "$0")/.."
exec docker compose -f docker-compose.prod.yml down
