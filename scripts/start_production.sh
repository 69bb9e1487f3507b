#!/bin/sh
# Builds, migrates and starts everything of docker-compose.prod.yml, and comes back when it works or says why it does not.
set -eu

usage() {
    cat <<'TEXT'
usage: scripts/start_production.sh [--init]

Builds the image from this working tree, migrates the database, starts every service and waits until the api answers through
nginx and worker and beat have proven that they work. Exits 0 then; otherwise prints the logs and exits 1. Running it again
on an unchanged tree changes nothing.

  --init    where there is no .env, write one with random secrets first
  --help    this text

  .env            settings and secrets (see .env.example): DB_PASSWORD, REDIS_PASSWORD and SECRET_KEY must be set
  HTTP_PORT, HTTPS_PORT   where nginx listens (80, 443)
  START_TIMEOUT   seconds to wait for everything to work (180)
TEXT
}

say() { printf 'start: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

init=
for argument in "$@"; do
    case $argument in
        --init) init=yes ;;
        -h | --help) usage; exit 0 ;;
        *) say "there is no option '$argument'"; usage >&2; exit 2 ;;
    esac
done

cd "$(dirname "$0")/.."
compose() { docker compose -f docker-compose.prod.yml "$@"; }

random_hex() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

write_env() {
    umask 077
    sed -e "s/^DB_PASSWORD=\$/DB_PASSWORD=$(random_hex)/" \
        -e "s/^REDIS_PASSWORD=\$/REDIS_PASSWORD=$(random_hex)/" \
        -e "s/^SECRET_KEY=\$/SECRET_KEY=$(random_hex)/" .env.example > .env.new
    mv .env.new .env
    say "wrote .env with random secrets: keep a copy of it, the database cannot be opened without"
}

# A setting's value as compose sees it: the environment wins, then .env.
value_of() {
    eval "value=\${$1-}"
    if [ -z "$value" ] && [ -f .env ]; then
        value=$(sed -n "s/^$1=//p" .env | tail -n 1 | sed "s/^[\"']//; s/[\"']\$//")
    fi
    printf '%s' "$value"
}

check_secrets() {
    missing=
    for name in DB_PASSWORD REDIS_PASSWORD SECRET_KEY; do
        value=$(value_of "$name")
        case $value in
            '') say "$name is not set: set it in .env (openssl rand -hex 32), or let --init write one"; missing=yes ;;
            *[!A-Za-z0-9._~-]*) say "$name may hold letters, digits and . _ ~ - only: it becomes part of an address"; missing=yes ;;
            *) [ ${#value} -ge 16 ] || { say "$name is too short: 16 characters at least (openssl rand -hex 32)"; missing=yes; } ;;
        esac
    done
    [ -z "$missing" ] || exit 1
}

# What /health/ready says, asked from inside and through nginx. Exits 0 when ready with a worker and a beat that work.
ask_ready() {
    compose exec -T web python -I - <<'PYTHON'
import json, ssl, sys, urllib.error, urllib.request

try:
    context = ssl._create_unverified_context()  # the certificate may be self-signed; the name is not the public one
    with urllib.request.urlopen("https://nginx:8443/health/ready", timeout=5, context=context) as answer:
        report = json.load(answer)
except urllib.error.HTTPError as error:
    sys.exit(f"/health/ready answers {error.code}: {error.read(500).decode(errors='replace')}")
except OSError as error:
    sys.exit(f"/health/ready cannot be reached: {error}")
needed = ("database", "redis", "redis_policy", "celery_workers", "celery_beat")
failing = [f"{name} is {report['checks'][name]}" for name in needed if report["checks"][name] != "healthy"]
if failing:
    sys.exit("ready, but " + ", ".join(failing))
PYTHON
}

fail() {
    say "$1"
    compose --ansi never ps --all >&2 || true
    for service in migrate web celery_worker celery_beat nginx; do
        say "--- the last of $service"
        compose --ansi never logs --tail 40 "$service" >&2 || true
    done
    exit 1
}

command -v docker > /dev/null || die "docker is missing: install Docker Engine with the compose plugin"
docker compose version > /dev/null 2>&1 || die "docker has no compose plugin: install docker-compose-plugin (v2)"
docker info > /dev/null 2>&1 || die "the Docker engine does not answer: start it, or run this as a user who may use it"
if [ -n "$init" ] && [ ! -e .env ]; then write_env; fi
check_secrets
compose config --quiet || die "docker-compose.prod.yml and .env do not fit together"

BUILD_COMMIT=$(git rev-parse HEAD 2> /dev/null || echo unknown)
export BUILD_COMMIT
say "building the image"
compose build --quiet migrate || die "the image could not be built"
say "starting the database and Redis"
compose up --detach --wait db redis || fail "the database or Redis did not start"
say "migrating"
compose run --rm migrate || die "the migration failed: nothing was started anew"
say "starting the rest"
compose up --detach --remove-orphans || fail "not every service started"

deadline=$(($(date +%s) + ${START_TIMEOUT:-180}))
until answer=$(ask_ready 2>&1); do
    [ "$(date +%s)" -lt "$deadline" ] || fail "it does not work after ${START_TIMEOUT:-180} s: $answer"
    sleep 1
done
port=$(value_of HTTPS_PORT)
say "ready at https://localhost:${port:-443}"
say "a first account: docker compose -f docker-compose.prod.yml exec web taskapi users create --superuser --email you@example.com"
