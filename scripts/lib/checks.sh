# What must be right before anything is touched, and the secrets as the containers read them.
# shellcheck shell=sh

# Without these nothing starts; those that may be missing are empty files then.
NEEDED_SECRETS="DB_PASSWORD REDIS_PASSWORD SECRET_KEY"
SECRETS="$NEEDED_SECRETS PREVIOUS_SECRET_KEYS SMTP_PASSWORD BACKUP_KEY SCRAPE_TOKEN GRAFANA_PASSWORD"

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
