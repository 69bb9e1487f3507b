#!/bin/sh
# Stops what start_production.sh started.
set -eu

case ${1-} in
    '') ;;
    -h | --help)
        echo "usage: scripts/stop_production.sh"
        echo "Stops every service of docker-compose.prod.yml within its grace period: requests are answered, jobs given back. The data stays."
        exit 0
        ;;
    *) echo "stop_production: there is no option '$1'" >&2; exit 2 ;;
esac

cd "$(dirname "$0")/.."
. scripts/lib/production.sh
check_engine
lock
take_down
