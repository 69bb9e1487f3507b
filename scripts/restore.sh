#!/bin/sh
# Stops the service, puts a backup back, brings the schema up to date, and starts the service again.
set -eu

usage() {
    cat <<'TEXT'
usage: scripts/restore.sh [--replace] [NAME]

Puts a backup (the newest without a NAME; scripts/backup.sh list) in place of the database, and its files where they were.
The service is stopped meanwhile. When it fails, the service stays stopped: what is in the database is told.

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
say "starting the database, stopping everything else"
compose up --detach --wait db
# shellcheck disable=SC2046 # one word for each service
compose stop $(compose config --services | grep -vx -e db -e redis)
compose run --rm --no-deps -T celery_worker backup restore "$@" || die "nothing was started again"
for container in $(deployed 3); do remove "$container"; done
compose run --rm --no-deps -T migrate || die "the backup is in place, but the migration failed: nothing was started again"
say "starting the service"
compose up --detach --wait web nginx
compose up --detach
say "done: scripts/backup.sh verify proves that the backup was whole"
