# One release takes the place of another, or does not.
# shellcheck shell=sh

# Workers first: they must know the kinds of jobs that a new api asks for. The api last: nobody outside notices what fails before.
ROLLED="celery_worker celery_worker_mail celery_worker_heavy celery_beat web"

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
