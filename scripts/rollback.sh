#!/bin/sh
# Goes back to the release that ran before the present one.
set -eu

case ${1-} in
    '') ;;
    -h | --help)
        cat <<'TEXT'
usage: scripts/rollback.sh

Replaces what runs by the image that ran before, without a failed request. The schema of the database stays as it is: a release works
on the schema of the next one. A second run goes forward again.
TEXT
        exit 0
        ;;
    *) echo "rollback: there is no option '$1'" >&2; exit 2 ;;
esac

cd "$(dirname "$0")/.."
. scripts/production.sh

[ -n "$(id_of "$(previous_image)")" ] || die "there is no release before this one ($(previous_image))"
exec scripts/deploy.sh "$(previous_image)"
