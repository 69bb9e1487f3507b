#!/bin/sh
# Brings production to the state of this working tree, or says why not and leaves what ran before.
set -eu

usage() {
    cat <<'TEXT'
usage: scripts/start_production.sh [--init]

Builds the image from this working tree, migrates the database and starts every service of docker-compose.prod.yml, or replaces
what runs without a failed request. Comes back when the api answers through nginx and worker and beat have proven that they work.
Otherwise prints the logs, goes back to the release before and exits 1. A second run on an unchanged tree changes nothing.

  --init    where there is no .env, write one with random secrets first
  --help    this text

In the environment or in .env (see .env.example):
  DB_PASSWORD, REDIS_PASSWORD, SECRET_KEY   must be set
  HTTP_PORT, HTTPS_PORT   where nginx listens (80, 443)
  DEPLOY_TIMEOUT   seconds that each step may take to work (180)
  FORCE_ROLL=1     replace every container, changed or not
TEXT
}

init=
for argument in "$@"; do
    case $argument in
        --init) init=yes ;;
        -h | --help) usage; exit 0 ;;
        *) echo "start_production: there is no option '$argument'" >&2; usage >&2; exit 2 ;;
    esac
done

cd "$(dirname "$0")/.."
. scripts/lib/production.sh

random_hex() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

write_env() {
    (
        umask 077
        sed -e "s/^DB_PASSWORD=\$/DB_PASSWORD=$(random_hex)/" \
            -e "s/^REDIS_PASSWORD=\$/REDIS_PASSWORD=$(random_hex)/" \
            -e "s/^SECRET_KEY=\$/SECRET_KEY=$(random_hex)/" .env.example > .env.new
    )
    mv .env.new .env
    say "wrote .env with random secrets: keep a copy of it, the database cannot be opened without"
}

# What the image says of its origin, and the time that everything in it has.
describe_tree() {
    BUILD_COMMIT=$(git rev-parse HEAD 2> /dev/null || echo unknown)
    [ -z "$(git status --porcelain --untracked-files=no 2> /dev/null)" ] || BUILD_COMMIT=$BUILD_COMMIT-changed
    BUILD_VERSION=$(sed -n 's/^version = "\(.*\)"$/\1/p' backend/pyproject.toml)
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2> /dev/null || echo 0)
    export BUILD_COMMIT BUILD_VERSION SOURCE_DATE_EPOCH
}

if [ -n "$init" ] && [ ! -e .env ]; then write_env; fi
check_secrets
check_engine
check_disk
lock
find_project
BEFORE=$(image_before)
describe_tree
say "building the image"
compose build --quiet migrate || die "the image could not be built: nothing was changed"
check_ports
check_configuration
deploy deploy_steps
port=$(value_of HTTPS_PORT 443)
case $port in *:*) ;; *) port=localhost:$port ;; esac
say "works, at https://$port"
say "a first account: docker compose -f docker-compose.prod.yml exec web taskapi users create --superuser --email you@example.com"
