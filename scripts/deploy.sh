#!/bin/sh
# Replaces the running release by an image that was built elsewhere.
set -eu

case ${1-} in
    '' | -h | --help)
        cat <<'TEXT'
usage: scripts/deploy.sh IMAGE

Replaces what runs by IMAGE without a failed request, as scripts/start_production.sh does with the image that it builds. IMAGE is
pulled where it is not here. When it does not work, the logs are printed, the release before runs on, and the exit code is 1.
TEXT
        [ -n "${1-}" ] || exit 2
        exit 0
        ;;
esac

cd "$(dirname "$0")/.."
. scripts/lib/production.sh

check_secrets
check_engine
check_disk
lock
find_project
[ -n "$(id_of "$1")" ] || docker pull --quiet "$1" || die "there is no image $1"
BEFORE=$(image_before)
docker tag "$1" "$(image)"
check_ports
check_configuration
deploy deploy_steps
say "$1 runs (commit $(commit_of "$1"))"
