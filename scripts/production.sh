# Shared by the scripts beside it, which source it from the root of the tree. POSIX sh.
# shellcheck shell=sh

PRODUCTION_FILE=docker-compose.prod.yml
# Workers first: they must know the kinds of jobs that a new api asks for. The api last: nobody outside notices what fails before.
ROLLED="celery_worker celery_worker_mail celery_worker_heavy celery_beat web"
# Without these nothing starts; those that may be missing are empty files then.
NEEDED_SECRETS="DB_PASSWORD REDIS_PASSWORD SECRET_KEY"
SECRETS="$NEEDED_SECRETS PREVIOUS_SECRET_KEYS SMTP_PASSWORD BACKUP_KEY SCRAPE_TOKEN GRAFANA_PASSWORD"

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

# ---- What must be right before anything is touched

check_engine() {
    command -v docker > /dev/null || die "docker is missing: install Docker Engine with the compose plugin"
    docker compose version > /dev/null 2>&1 || die "docker has no compose plugin: install docker-compose-plugin (v2)"
    docker info > /dev/null 2>&1 || die "the Docker engine does not answer: start it, or run this as a user who may use it"
}

# Here, and where the engine keeps images and volumes, unless that is on another host.
check_disk() {
    least=$(value_of DISK_MIN_MB 2048)
    for folder in . "$(docker info --format '{{.DockerRootDir}}')"; do
        [ -d "$folder" ] || continue
        free=$(df -Pk "$folder" | awk 'NR == 2 { print int($4 / 1024) }')
        [ "$free" -ge "$least" ] || die "$free MB of disk are free in $(cd "$folder" && pwd), $least are needed (DISK_MIN_MB)"
    done
}

# The containers read secrets from files in SECRETS_DIR; what is set in the environment or in .env is written there by a deployment.
check_secrets() {
    case ,$(value_of COMPOSE_PROFILES), in
        *,monitoring,*) NEEDED_SECRETS="$NEEDED_SECRETS SCRAPE_TOKEN GRAFANA_PASSWORD" ;;
    esac
    missing=
    for name in $NEEDED_SECRETS; do check_secret "$name" || missing=yes; done
    [ -z "$missing" ] || exit 1
}

secret_file() { printf '%s/%s' "$(value_of SECRETS_DIR ./.secrets)" "$(printf %s "$1" | tr '[:upper:]' '[:lower:]')"; }
is_needed() { case " $NEEDED_SECRETS " in *" $1 "*) ;; *) return 1 ;; esac; }

# From the environment or .env, else from the file; one that may be missing is taken away by an empty line in .env.
secret() {
    value=$(value_of "$1")
    if [ -z "$value" ] && { is_needed "$1" || ! grep -q "^$1=" .env 2> /dev/null; }; then
        value=$(cat "$(secret_file "$1")" 2> /dev/null) || true
    fi
    printf %s "$value"
}

check_secret() {
    value=$(secret "$1")
    least=16
    [ "$1" != SECRET_KEY ] || least=32
    case $value in
        '') say "$1 is not set: set it in .env (openssl rand -hex 32), or let start_production.sh --init write one"; return 1 ;;
        *[!A-Za-z0-9._~-]*) say "$1 may hold letters, digits and . _ ~ - only"; return 1 ;;
        *[Cc]hange* | *[Ee]xample* | *[Pp]assword* | *[Ss]ecret*) say "$1 is an example's: make one with openssl rand -hex 32"; return 1 ;;
    esac
    [ ${#value} -ge "$least" ] || { say "$1 is too short: $least characters at least (openssl rand -hex 32)"; return 1; }
    [ "$(printf %s "$value" | fold -w 1 | sort -u | wc -l)" -ge 6 ] || { say "$1 is too simple: make one with openssl rand -hex 32"; return 1; }
}

# What a file held at the last deployment that succeeded is kept beside it until the next one has.
write_secrets() {
    for name in $SECRETS; do write_secret "$name" || { say "cannot write $(secret_file "$name") (SECRETS_DIR)"; return 1; }; done
}
write_secret() {
    value=$(secret "$1")
    file=$(secret_file "$1")
    if [ -e "$file" ] && [ "$(cat "$file")" = "$value" ]; then return 0; fi
    mkdir -p "$(dirname "$file")" && chmod 700 "$(dirname "$file")" || return 1
    if [ -e "$file" ] && [ ! -e "$file.before" ]; then mv "$file" "$file.before" || return 1; fi
    # The folder keeps others out; in the containers users of their own must read the file.
    rm -f "$file" && (umask 222 && printf %s "$value" > "$file")
}
keep_secrets() { for name in $SECRETS; do rm -f "$(secret_file "$name").before"; done; }
restore_secrets() {
    for name in $SECRETS; do
        file=$(secret_file "$name")
        [ ! -e "$file.before" ] || mv -f "$file.before" "$file"
    done
}

check_ports() {
    nginx=$(containers nginx)
    for pair in HTTP_PORT:80 HTTPS_PORT:443; do
        name=${pair%:*}
        port=$(value_of "$name" "${pair#*:}")
        if [ -n "$nginx" ] && docker port "$nginx" | grep -q ":${port##*:}\$"; then continue; fi
        why=$(docker run --rm --publish "$port:1" --entrypoint true "$(image)" 2>&1) \
            || die "port $port cannot be used: free it, or set $name in .env ($(printf %s "$why" | head -n 1))"
    done
}

# With the image that is about to run: its settings, then what nginx thinks of its configuration.
check_configuration() {
    compose run --rm --no-deps certificate || die "there is no certificate. TLS_DIR in .env must name a folder with fullchain.pem and privkey.pem, which user 10001 may read, or not be set (of an address space: EDGE_SUBNET)"
    compose run --rm --no-deps nginx -t -q \
        || die "nginx refuses its configuration (nginx/nginx.conf), or fullchain.pem and privkey.pem of TLS_DIR, which user 10001 must be able to read"
}

# ---- Containers

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

# ---- Replacing a release

# New containers beside the old ones; once they are healthy, the old ones end one by one, and the new ones show that they work.
roll() {
    count=$(replicas "$1")
    if up_to_date "$1" "$count"; then return 0; fi
    old=
    for container in $(containers "$1"); do
        case $(docker inspect --format '{{.State.Status}} {{.Image}} {{with .State.Health}}{{.Status}}{{end}}' "$container") in
            "running $BEFORE "* | running\ *\ healthy) old="$old $container" ;;
            *) remove "$container" ;; # what a deployment left that was cut off
        esac
    done
    say "starting $1"
    # shellcheck disable=SC2086
    set -- "$1" $old
    compose up --no-start --no-deps --no-recreate --scale "$1=$(($# - 1 + count))" "$1" || return 1
    # shellcheck disable=SC2086
    new=$(others "$1" $old)
    ADDED="$ADDED $new"
    # shellcheck disable=SC2086
    {
        [ "$1" != web ] || [ -z "$old" ] || point_nginx_at $old || return 1
        # One after the other: a process takes a whole CPU for seconds to start, which those that serve need.
        for container in $new; do
            docker start "$container" > /dev/null || return 1
            await_healthy "$container" || return 1
        done
        [ "$1" != web ] || { prove_apis $new && point_nginx_at $new; } || return 1
        [ -z "$old" ] || say "ending the old $1"
        for container in $old; do retire "$container" || return 1; done
        prove "$1" $new
    }
}

prove() {
    case $1 in
        celery_worker*) docker exec "$2" taskapi worker --prove ;;
        celery_beat) docker exec "$2" taskapi beat --prove ;;
    esac
}

# Each by itself, before it gets requests: it is of the wanted release, and refuses who does not say who he is.
prove_apis() {
    for container in "$@"; do
        docker exec -i "$container" python -I - "$(commit_of "$(image)")" <<'PYTHON' || return 1
import http.client, json, sys

connection = http.client.HTTPConnection("127.0.0.1", 8000, timeout=5)
connection.request("GET", "/health")
commit = json.load(connection.getresponse())["commit"]
connection.request("GET", "/tasks")
status = connection.getresponse().status
if (commit, status) != (sys.argv[1], 401):
    sys.exit(f"the api of commit {commit} answers {status} to a request without a token; wanted: {sys.argv[1]}, 401")
PYTHON
    done
}

# nginx goes on with the same process and connections, unless the container's own settings have changed.
roll_nginx() {
    compose up --detach --no-deps --wait nginx || return 1
    # shellcheck disable=SC2016
    compose exec -T nginx sh -c '
        sum=$(cat /etc/nginx/taskapi/*.conf /etc/nginx/tls/*.pem | cksum)
        [ "$sum" != "$(cat /tmp/loaded 2> /dev/null)" ] || exit 0
        nginx -c /etc/nginx/taskapi/nginx.conf -s reload && printf %s "$sum" > /tmp/loaded'
}

# What /health/ready says through nginx. Exits 0 when all of it works.
ask() {
    compose exec -T web python -I - <<'PYTHON'
import json, ssl, sys, urllib.error, urllib.request

context = ssl._create_unverified_context()  # the certificate may be self-signed; its name is the public one
try:
    with urllib.request.urlopen("https://nginx:8443/health/ready", timeout=5, context=context) as answer:
        checks = json.load(answer)["checks"]
except urllib.error.HTTPError as error:
    sys.exit(f"{error.url} answers {error.code}: {error.read(500).decode(errors='replace')}")
except OSError as error:
    sys.exit(f"no answer: {error}")
needed = ("database", "redis", "redis_policy", "celery_workers", "celery_beat")
failing = [f"{name} is {checks[name]}" for name in needed if checks[name] != "healthy"]
sys.exit("; ".join(failing) or 0)
PYTHON
}

await_answer() {
    until=$(deadline)
    until answer=$(ask 2>&1); do
        [ "$(date +%s)" -lt "$until" ] || { say "it does not work: $answer"; return 1; }
        sleep 1
    done
}

# Redis reads its password when it starts: it is made anew where it does not take the one of the file.
start_redis() {
    # shellcheck disable=SC2016
    compose exec -T redis sh -c 'REDISCLI_AUTH=$(cat) valkey-cli ping | grep -q PONG' < "$(secret_file REDIS_PASSWORD)" 2> /dev/null \
        || compose up --detach --no-deps --wait --force-recreate redis || return 1
    compose up --detach --no-deps --wait redis
}

# What has read a secret's file that was changed since must be made anew; what only reads a folder of deploy/monitoring takes a signal.
start_beside() {
    again=
    [ "$(deployed 1)" = "$CONFIGURATION" ] || again=--force-recreate
    # shellcheck disable=SC2086
    compose up --detach --no-deps $again "$1" || return 1
    case $1 in prometheus | alertmanager | otel_collector) compose kill --signal HUP "$1" ;; esac
}

deploy_steps() {
    compose up --detach --no-deps --wait db || return 1
    start_redis || return 1
    compose run --rm --no-deps migrate || { say "the migration failed. A refused password: DB_PASSWORD in .env must be the one that the database has"; return 1; }
    compose run --rm --no-deps web doctor --before-start --workers 3 || { say "taskapi doctor has found what must be mended first"; return 1; }
    for service in $ROLLED; do roll "$service" || return 1; done
    roll_nginx || return 1
    for service in $(compose config --services); do
        case " $ROLLED db redis nginx migrate certificate " in
            *" $service "*) ;;
            *) start_beside "$service" || return 1 ;;
        esac
    done
    await_answer
}

# The image of the last deployment that succeeded, whatever the tag and containers of one that was cut off say; where none is noted,
# that of the oldest api that is healthy. Nothing before a first start.
image_before() {
    noted=$(id_of "$(deployed 2)")
    [ -n "$noted" ] || noted=$(docker ps --quiet --filter "label=com.docker.compose.project=$PROJECT" --filter "label=com.docker.compose.service=web" \
        --filter "label=com.docker.compose.oneoff=False" --filter health=healthy | tail -n 1 | xargs -r docker inspect --format '{{.Image}}')
    printf %s "$noted"
}

# By the steps that are named, to the image that is tagged as the one to run. Comes back when everything works; else `go_back`, and
# exits 1.
deploy() {
    ADDED=
    RETIRED=
    FRESH=
    [ -n "$(containers)" ] || FRESH=yes
    trap 'say "interrupted"; go_back; exit 130' INT TERM HUP
    if ! write_secrets || ! CONFIGURATION=$(configuration) || ! "$1"; then
        show_logs
        go_back
        exit 1
    fi
    trap '' INT TERM HUP
    now=$(id_of "$(image)")
    stays=$(deployed 3)
    made_from=$(deployed 4)
    if [ -n "$RETIRED" ] && [ "$BEFORE" != "$now" ]; then
        stays=
        [ -z "$(value_of BLUE_GREEN)" ] || { stays=$RETIRED; made_from=$(deployed 1); RETIRED=; }
    fi
    printf '%s\n' "$CONFIGURATION" "$now" "$stays" "$made_from" > .deployed
    keep_secrets
    for container in $RETIRED; do remove "$container"; done
    if [ -n "$BEFORE" ] && [ "$BEFORE" != "$now" ]; then docker tag "$BEFORE" "$(previous_image)"; fi
    # Releases that nothing names any more: each deployment leaves one.
    docker image prune --force --filter "label=org.opencontainers.image.title=$(title_of "$now")" > /dev/null 2>&1 || true
    BEFORE=
    trap 'exit 130' INT TERM HUP
}

# Of what is new, and of what is not well.
show_logs() {
    compose ps --all >&2 || true
    for container in $(containers); do
        case " $ADDED :$(docker inspect --format '{{with .State.Health}}{{.Status}}{{end}}' "$container")" in
            *" $container "* | *:starting | *:unhealthy) ;;
            *) continue ;;
        esac
        say "--- the last of $(service_of "$container")"
        docker logs --tail 40 "$container" >&2 2>&1 || true
    done
}

# To the containers of the application that ran before, which are still there, with their secrets and nginx's list of them. Not taken
# back: the schema, and new settings of db, redis, nginx and of what runs beside. After a first start that failed, nothing stays but the data.
go_back() {
    trap '' INT TERM HUP
    restore_secrets
    if [ -n "$FRESH" ]; then
        say "stopping what was started"
        take_down > /dev/null 2>&1 || true
        say "nothing was left running"
        return 0
    fi
    start_redis || say "redis does not start again with the password before"
    [ -n "$ADDED$RETIRED" ] || { say "nothing was replaced"; return 0; }
    say "going back to the release before"
    # shellcheck disable=SC2086
    if [ -n "$RETIRED" ]; then
        docker start $RETIRED > /dev/null || true
        await_healthy $RETIRED || say "the release before does not get healthy either"
    fi
    # shellcheck disable=SC2046,SC2086
    point_nginx_at $(others web $ADDED) || say "nginx does not take the list of apis"
    for container in $ADDED; do remove "$container"; done
    say "the release before runs again"
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
