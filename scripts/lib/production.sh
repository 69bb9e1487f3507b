# Shared by the scripts of the folder above, which source it from the root of the tree. POSIX sh.
# shellcheck shell=sh

. scripts/lib/checks.sh
. scripts/lib/release.sh

PRODUCTION_FILE=docker-compose.prod.yml

# A reader that has gone (`| tee`, a lost terminal) must not end a script before it has gone back.
trap : PIPE
say() { printf '%s: %s\n' "$(basename "$0" .sh)" "$*" >&2 2> /dev/null || :; }
die() { say "$@"; exit 1; }

compose() { docker compose --ansi never --progress quiet -f "$PRODUCTION_FILE" "$@"; }

# A variable as compose sees it: the environment wins, then .env; else the second argument.
value_of() {
    eval "value=\${$1-}"
    if [ -z "$value" ] && [ -f .env ]; then
        value=$(sed -n "s/^$1=//p" .env | tail -n 1 | sed "/^[\"']/!s/[ \t]#.*//; s/[ \t]*\$//; s/^[\"']//; s/[\"']\$//")
    fi
    printf '%s' "${value:-${2-}}"
}

image() { value_of TASKAPI_IMAGE task-management-api:latest; }
previous_image() { image | sed 's/:[^:/]*$//; s/$/:previous/'; }
id_of() { docker image inspect --format '{{.Id}}' "$1" 2> /dev/null || true; }
title_of() { docker image inspect --format '{{index .Config.Labels "org.opencontainers.image.title"}}' "$1"; }
commit_of() { docker image inspect --format '{{index .Config.Labels "org.opencontainers.image.revision"}}' "$1"; }

find_project() {
    compose config --quiet || die "$PRODUCTION_FILE and .env do not fit together"
    PROJECT=$(compose config --format json | sed -n 's/^  "name": "\(.*\)",$/\1/p')
}
# Those of a service, or of all; running or not.
containers() {
    docker ps --all --quiet --no-trunc --filter "label=com.docker.compose.project=$PROJECT" \
        --filter "label=com.docker.compose.oneoff=False" ${1:+--filter "label=com.docker.compose.service=$1"}
}
# Of a service, those that are not among the ones after its name.
others() {
    for container in $(containers "$1"); do
        case " $* " in *" $container "*) ;; *) printf ' %s' "$container" ;; esac
    done
}
service_of() { docker inspect --format '{{index .Config.Labels "com.docker.compose.service"}}' "$1"; }
replicas() {
    compose config | awk -v start="  $1:" '
        $0 == start { here = 1; next }
        here && /^  [^ ]/ { exit }
        here && $1 == "replicas:" { print $2; found = 1; exit }
        END { if (!found) print 1 }'
}

# What the containers are made from, but for the image. That a secret's file has changed is nothing that the engine sees.
configuration() {
    {
        BUILD_COMMIT='' BUILD_VERSION='' SOURCE_DATE_EPOCH='' compose config
        for name in $SECRETS; do cksum < "$(secret_file "$name")"; done
    } | cksum
}

# The last deployment that succeeded: a line with its configuration, one with its image; with BLUE_GREEN, one with the containers
# that it replaced, which are stopped and can start again at any time, and one with the configuration that those were made from.
deployed() { sed -n "$1p" .deployed 2> /dev/null || true; }

# Whether so many healthy containers run, of the wanted image and settings, and no others but what stays to go back to.
up_to_date() {
    [ -z "${FORCE_ROLL-}" ] && [ "$(deployed 1)" = "$CONFIGURATION" ] || return 1
    networks=1
    case $1 in web | celery_worker*) networks=2 ;; esac
    wanted="$(id_of "$(image)") healthy $networks"
    found=0
    # shellcheck disable=SC2046
    for container in $(others "$1" $(deployed 3)); do
        is=$(docker inspect --format '{{.Image}} {{.State.Health.Status}} {{len .NetworkSettings.Networks}}' "$container")
        [ "$is" = "$wanted" ] || return 1
        found=$((found + 1))
    done
    [ "$found" -eq "$2" ]
}

deadline() { echo $(($(date +%s) + $(value_of DEPLOY_TIMEOUT 180))); }

# Until all of these are healthy. A container that has ended or was started again by the engine is broken.
await_healthy() {
    until=$(deadline)
    for container in "$@"; do
        while :; do
            is=$(docker inspect --format '{{.State.Status}} {{.RestartCount}} {{.State.Health.Status}}' "$container")
            case $is in
                'running 0 healthy') break ;;
                'running 0 starting') ;;
                *) say "$(service_of "$container") did not get healthy: $is"; return 1 ;;
            esac
            [ "$(date +%s)" -lt "$until" ] || { say "$(service_of "$container") is not healthy after $(value_of DEPLOY_TIMEOUT 180) s"; return 1; }
            sleep 1
        done
    done
}

# nginx sends its requests to those of these apis that are healthy, by address; one that cannot be reached is left out for seconds, and
# when none can be, the name `web` counts again, as it does after a restart of nginx. Comes back when no request goes by the old list any more.
point_nginx_at() {
    { [ $# -gt 0 ] && [ -n "$(compose ps --quiet nginx)" ]; } || return 0
    servers=$(docker inspect --format "{{.State.Status}} {{with .State.Health}}{{.Status}}{{end}} {{with index .NetworkSettings.Networks \"${PROJECT}_edge\"}}{{.IPAddress}}{{end}}" "$@" \
        | awk '$1 == "running" && $2 == "healthy" && $3 { print "server " $3 ":8000 max_fails=1 fail_timeout=5s;" }')
    [ -n "$servers" ] || return 0
    printf '%s\n' "$servers" 'server web:8000 resolve max_fails=0 backup;' | compose exec -T nginx sh -c '
        cat > /tmp/api.new || exit 1
        if cmp -s /tmp/api.new /tmp/api.conf; then exit 3; fi
        cp /tmp/api.conf /tmp/api.before && mv /tmp/api.new /tmp/api.conf || exit 1
        if nginx -t -q -c /etc/nginx/taskapi/nginx.conf; then exec nginx -c /etc/nginx/taskapi/nginx.conf -s reload 2> /dev/null; fi
        mv /tmp/api.before /tmp/api.conf
        exit 1' || { [ $? -eq 3 ]; return; } # 3: that is the list already
    # A worker of the old list ends with its last client; one that follows a stream may stay, and is cut off with it.
    for _ in 1 2 3 4 5 6; do
        sleep 2
        compose exec -T nginx sh -c 'cat /proc/[0-9]*/cmdline 2> /dev/null | grep -q "shutting down"' || break
    done
}

# Within its grace period, in which it answers what it has taken and gives its jobs back; kept until the deployment has succeeded.
retire() {
    RETIRED="$RETIRED $1"
    docker stop "$1" > /dev/null
}

remove() {
    docker stop "$1" > /dev/null 2>&1 || true
    docker rm --force --volumes "$1" > /dev/null 2>&1 || true
}

# Everything; the volumes that have no name are each container's own, and go with it.
take_down() {
    COMPOSE_PROFILES='*' compose rm --stop --force --volumes
    COMPOSE_PROFILES='*' compose down
}

# One at a time of all that changes what runs. Where it ends without a deployment that succeeded, the image's name means again what it meant.
lock() {
    if ! (umask 077 && mkdir .deploying 2> /dev/null); then
        other=$(cat .deploying/pid 2> /dev/null || true)
        [ -n "$other" ] || die "another one has just begun; if not, delete the folder .deploying"
        ! kill -0 "$other" 2> /dev/null || die "process $other is at work already (if that is another program, delete the folder .deploying)"
    fi
    echo $$ > .deploying/pid
    BEFORE=
    trap 'unlock' EXIT
    trap 'exit 130' INT TERM HUP
}
unlock() {
    [ -z "$BEFORE" ] || docker tag "$BEFORE" "$(image)" || true
    # The networks that checks have made before a first start.
    [ -z "${PROJECT-}" ] || [ -n "$(containers)" ] || take_down || true
    rm -rf .deploying
}
