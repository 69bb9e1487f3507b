#!/bin/sh
# `taskapi backup` inside of the running production, where the database, the stored files and BACKUP_URL are.
set -eu

usage() {
    cat <<'TEXT'
usage: scripts/backup.sh [create | list | verify [NAME] | prune [--keep N] [--days D]]

Makes a backup of the database and the stored files while everything runs (also without a word), lists those that are there,
restores one into a scratch database to prove it, or deletes old ones. To put one back: scripts/restore.sh.

  .env         BACKUP_URL must be set: file:///var/lib/taskapi/backups for the folder BACKUP_DIR, or s3://bucket/folder
  BACKUP_KEY   encrypts; keep a copy of it where the backups are not
TEXT
}

case ${1-create} in
    create | list | verify | prune) ;;
    -h | --help) usage; exit 0 ;;
    *) echo "backup: there is no '$1'" >&2; usage >&2; exit 2 ;;
esac
[ $# -gt 0 ] || set -- create

cd "$(dirname "$0")/.."
# The worker's container: it has the stored files and the folder for backups.
exec docker compose -f docker-compose.prod.yml run --rm --no-deps -T celery_worker backup "$@"
