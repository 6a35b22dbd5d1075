#!/usr/bin/env bash
# `make compose-test`: builds the images, starts docker-compose.yml without `observe`, and holds it to its
# word with stock clients while one gateway is stopped and the other killed. Starts a Docker engine if none
# runs. Fails, and says so, where no engine can.
set -euo pipefail
cd "$(dirname "$0")/../.."
# Debian's client has BuildKit built in; another one before it may lack the plug-in.
export PATH="/usr/bin:$PATH:${HOME:-}/.cargo/bin:/usr/local/sbin:/usr/sbin:/sbin"
export DOCKER_BUILDKIT=1 COMPOSE_DOCKER_CLI_BUILD=1 BUILDKIT_PROGRESS=plain

say() { echo "compose-test: $*"; }
die() {
    echo "compose-test: $*" >&2
    exit 1
}
now() { date +%s%3N; }
seconds_since() { awk -v ms=$(($(now) - $1)) 'BEGIN { printf "%.1f s", ms / 1000 }'; }

scratch=$(mktemp -d)
engine=
started=
finish() {
    local status=$?
    set +e
    if [ -n "$started" ]; then
        if [ $status -ne 0 ]; then
            compose ps
            compose logs --no-color --tail=40
        fi
        compose down --volumes --timeout 5 >/dev/null 2>&1
    fi
    if [ -n "$engine" ]; then
        kill "$engine" 2>/dev/null && wait "$engine"
    fi
    rm -rf "$scratch"
    exit $status
}
trap finish EXIT

engine() {
    ! docker info >/dev/null 2>&1 || return 0
    [ "$(id -u)" -eq 0 ] || die "no Docker engine answers, and only root can start one"
    say "starting a Docker engine"
    dockerd >"$scratch/dockerd.log" 2>&1 &
    engine=$!
    for _ in $(seq 300); do
        ! docker info >/dev/null 2>&1 || return 0
        kill -0 "$engine" 2>/dev/null || break
        sleep 0.1
    done
    tail -n 20 "$scratch/dockerd.log" >&2
    die "no Docker engine can run on this machine, so nothing was tested"
}

compose() { "${tool[@]}" --project-name "$project" --env-file "$scratch/env" "$@"; }
# container SERVICE
container() { compose ps -q "$1"; }

# Before the first `docker` of this shell, which would remember where it was found and never see a better one.
scripts/setup.sh compose
if docker compose version >/dev/null 2>&1; then tool=(docker compose); else tool=(docker-compose); fi
engine
say "$(docker version --format 'engine {{.Server.Version}}'), $(docker info --format '{{.Driver}}'), ${tool[*]} $("${tool[@]}" version --short)"
scripts/ci/base-images.sh

# Ports and addresses that are not those of a Herald that may run here already.
project=herald-test-$$
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free_port) grpc=$(free_port) http=$(free_port)
scripts/local-secrets.sh "$scratch/secrets" >/dev/null
cat >"$scratch/env" <<END
HERALD_VERSION=test
HERALD_REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)
HERALD_PORT=$port
HERALD_GRPC_PORT=$grpc
HERALD_HTTP_PORT=$http
HERALD_SUBNET=172.30.81
HERALD_SECRETS=$scratch/secrets
END
compose config -q || die "docker-compose.yml is not valid"

build() {
    local from
    from=$(now)
    compose build >"$scratch/build.log" 2>&1 || {
        tail -n 40 "$scratch/build.log" >&2
        die "the images do not build"
    }
    say "$1 build of the images: $(seconds_since "$from")"
}
build first
build second
docker build -q -f deploy/docker/Dockerfile --target herald -t herald:test . >/dev/null
for image in herald-gateway herald-notifier herald; do
    docker image inspect "$image:test" --format '{{.Size}} {{.Config.User}}' |
        awk -v name=$image '{ printf "compose-test: image %-16s %5.1f MB, user %s\n", name, $1 / 1e6, $2 }'
done

from=$(now)
started=yes
compose up -d >"$scratch/up.log" 2>&1 || {
    cat "$scratch/up.log" >&2
    die "the stack does not come up"
}
healthy() { [ "$(docker inspect --format '{{.State.Health.Status}}' "$(container "$1")")" = healthy ]; }
for service in redis gateway-1 gateway-2 notifier nginx; do
    for _ in $(seq 600); do
        ! healthy "$service" || continue 2
        sleep 0.1
    done
    die "$service is not healthy after a minute"
done
say "all services are healthy after $(seconds_since "$from"), one after the other"

# From the start of the container to ready: health checks look too rarely to tell.
start_up() {
    local from id
    id=$(container "$1")
    docker stop "$id" >/dev/null
    from=$(now)
    docker start "$id" >/dev/null
    until docker exec "$id" "$2" healthcheck >/dev/null 2>&1; do
        [ $(($(now) - from)) -lt 30000 ] || die "$1 is not ready after 30 s"
    done
    say "$1 is ready $(seconds_since "$from") after its start"
}
start_up gateway-1 herald-gateway
start_up notifier herald-notifier

for service in gateway-1 notifier; do
    id=$(container $service)
    [ "$(docker exec "$id" id -u)" = 10001 ] || die "$service runs as another user"
    ! docker exec "$id" sh -c ': >/tmp/x || : >/x' 2>/dev/null || die "$service can write to its file system"
done
docker run --rm --read-only --network none herald:test --version
# Not through a pipe to `grep -q`, which closes it at the first match: what is written after that would fail.
made=$(docker run --rm --read-only --network none herald:test api-key check --rpc SendNotice)
grep -q '^key ' <<<"$made" || die "herald api-key made no key"

one=$(container gateway-1) two=$(container gateway-2)
back() { echo "docker start $1 && until docker exec $1 herald-gateway healthcheck; do sleep 0.1; done"; }
# 137 would say that it was killed because draining took too long.
ended_well() { echo "[ \$(docker inspect --format '{{.State.ExitCode}}' $1) = 0 ]"; }
config=$(python3 - "$port" "$grpc" "$scratch/secrets" "docker stop --time 35 $one && $(ended_well "$one") && $(back "$one")" "docker kill $two && $(back "$two")" <<'END'
import json, pathlib, sys
port, grpc, secrets, stop, kill = sys.argv[1:]
read = lambda name: pathlib.Path(secrets, name).read_text()
print(json.dumps({
    "url": f"http://127.0.0.1:{port}/notice", "grpc": f"127.0.0.1:{grpc}", "protos": "proto",
    "secret": read("jwt"), "key": read("api-key"), "users": 60, "rate": 300,
    "faults": [{"name": "gateway-1 stopped (SIGTERM) and started", "command": stop},
               {"name": "gateway-2 killed and started", "command": kill}],
}))
END
)
node crates/herald-e2e/js/compose.mjs "$config"
say "all good"
