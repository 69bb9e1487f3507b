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

  BLUE_GREEN=1   in the environment or in .env while a release is deployed: the containers of the one before stay, stopped, and this
                 script starts them again with the settings that they had, which takes seconds
TEXT
        exit 0
        ;;
    *) echo "rollback: there is no option '$1'" >&2; exit 2 ;;
esac

cd "$(dirname "$0")/.."
. scripts/lib/production.sh

# To the containers that the last deployment replaced, as they were, the apis first; those of the present release end.
switch_steps() {
    CONFIGURATION=$(deployed 4)
    ADDED=$(deployed 3)
    old=
    # shellcheck disable=SC2046,SC2086
    {
        for service in $ROLLED; do old="$old$(others "$service" $ADDED)"; done
        apis=$(others web $old)
        point_nginx_at $old || return 1
        say "starting the release before"
        docker start $apis > /dev/null || return 1
        await_healthy $apis || return 1
        prove_apis $apis || return 1
        point_nginx_at $apis || return 1
        say "its apis have the requests; starting the rest"
        docker start $ADDED > /dev/null || return 1
        await_healthy $ADDED || return 1
        RETIRED=$old
        docker stop $old > /dev/null || return 1
    }
    await_answer
}

# Whether those are there to start again.
can_switch() {
    # shellcheck disable=SC2046
    images=$(docker inspect --format '{{.Image}}' $(deployed 3) 2> /dev/null) || return 1
    [ "$(printf '%s\n' "$images" | sort -u)" = "$(id_of "$(previous_image)")" ]
}

[ -n "$(id_of "$(previous_image)")" ] || die "there is no release before this one ($(previous_image))"
# What is wanted is here already: a full disk is no reason to stay.
can_switch || DISK_MIN_MB=0 exec scripts/deploy.sh "$(previous_image)"
check_secrets
check_engine
lock
find_project
BEFORE=$(image_before)
docker tag "$(previous_image)" "$(image)"
deploy switch_steps
say "commit $(commit_of "$(image)") runs"
