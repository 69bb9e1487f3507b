#!/bin/sh
# Stops the service, puts a backup back, brings the schema up to date, and starts the service again.
set -eu

usage() {
    cat <<'TEXT'
usage: scripts/restore.sh [--replace] [NAME]

Puts a backup (the newest without a NAME; scripts/backup.sh list) in place of the database, and its files where they were.
What can be known before is checked while the service runs; then it is stopped until all is back. When it fails after that, the service
stays stopped: what is in the database is told.

  --replace   delete what is in the database now; without it only an empty one is filled
  --help      this text
TEXT
}

for argument in "$@"; do
    case $argument in
        -h | --help) usage; exit 0 ;;
        --replace | [!-]*) ;;
        *) echo "restore: there is no option '$argument'" >&2; usage >&2; exit 2 ;;
    esac
done

cd "$(dirname "$0")/.."
. scripts/lib/production.sh

check_engine
lock
[ -n "$(id_of "$(image)")" ] || die "nothing was deployed here yet: scripts/start_production.sh comes first"
compose up --detach --wait db
compose run --rm --no-deps -T celery_worker backup restore --check "$@" || die "nothing was changed or stopped"
say "stopping everything but the database and redis"
# shellcheck disable=SC2046 # one word for each service
compose stop $(compose config --services | grep -vx -e db -e redis)
compose run --rm --no-deps -T celery_worker backup restore "$@" || die "nothing was started again; scripts/start_production.sh does it, with what the database has now"
for container in $(deployed 3); do remove "$container"; done
compose run --rm --no-deps -T migrate || die "the backup is in place, but the migration failed: nothing was started again"
say "starting the service"
compose up --detach --wait web nginx
compose up --detach
say "done: scripts/backup.sh verify proves that the backup was whole"
