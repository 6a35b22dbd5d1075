#!/usr/bin/env bash
# Installs what Herald needs on a developer's machine; does nothing when all is there.
#
#   scripts/setup.sh run    for `make run`: a C compiler, which Rust links with
#   scripts/setup.sh test   for `make test`: that, and what the tests talk to (Redis, nginx,
#                           Prometheus, Node, Python and Chromium, with the packages of crates/herald-e2e
#                           and clients/js)
#   scripts/setup.sh compose  for `make compose-test`: Docker's engine and Compose, what base images are
#                           made with where no registry is reached, and the packages of crates/herald-e2e
#   scripts/setup.sh manifests  for `make manifests`: the compiler, Python with the validators
#   scripts/setup.sh bench  for `make bench`: the compiler, and what Herald is measured against
#                           (Redis, Node with the packages of bench/node, nginx with nchan)
#   scripts/setup.sh instructions  for `make instructions`: the compiler and valgrind
#
# Rust itself is asked for, never installed. System packages come from apt-get (Debian, Ubuntu);
# elsewhere one line tells what to install.
set -euo pipefail
cd "$(dirname "$0")/.."
# Where a fresh shell, or one that is not root's, may not look.
PATH="$PATH:${HOME:-}/.cargo/bin:/usr/local/sbin:/usr/sbin:/sbin"

readonly JS=(crates/herald-e2e/js clients/js)
readonly BENCH_JS=bench/node
readonly NCHAN=/usr/lib/nginx/modules/ngx_nchan_module.so
readonly PYTHON=crates/herald-e2e/python/requirements.txt

say() { echo "setup: $*"; }
die() {
    echo "setup: $*" >&2
    exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }
as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }
# at_least 7.0 7.0.15: is the second version the first one or newer?
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

check_rust() {
    local wanted found
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    has cargo || die "cargo is missing: install Rust $wanted or newer from https://rustup.rs, then run this again"
    found=$(cargo --version | cut -d ' ' -f 2)
    at_least "$wanted" "$found" || die "Rust $wanted or newer is needed and this is $found: rustup update stable"
    [ "$1" = test ] || return 0
    if ! cargo fmt --version >/dev/null 2>&1 || ! cargo clippy --version >/dev/null 2>&1; then
        die "rustfmt or clippy is missing: rustup component add rustfmt clippy"
    fi
}

# Prints what is missing, one line each: what it is | the Debian packages that bring it.
missing() {
    # A compiler without the C library's files is as good as none.
    echo 'int main(void) { return 0; }' | cc -x c -o /dev/null - >/dev/null 2>&1 || echo "a C compiler|gcc libc6-dev"
    [ "$1" != run ] || return 0
    if [ "$1" = instructions ]; then
        has valgrind || echo "valgrind|valgrind"
        return 0
    fi
    if [ "$1" = manifests ]; then
        has openssl || echo "openssl|openssl"
        python3 -c 'import ensurepip, venv' 2>/dev/null || echo "Python 3 with venv|python3 python3-venv"
        return 0
    fi
    if [ "$1" = compose ]; then
        has dockerd || docker info >/dev/null 2>&1 || echo "a Docker engine|docker.io iptables"
        has docker-compose || docker compose version >/dev/null 2>&1 || echo "Docker Compose|docker-compose"
        has debootstrap || ! has apt-get || echo "debootstrap|debootstrap"
    fi
    [ -e /etc/ssl/certs/ca-certificates.crt ] || ! has apt-get || echo "CA certificates|ca-certificates"
    has openssl || echo "openssl|openssl"
    has curl || echo "curl|curl"
    at_least 18 "$(node --version 2>/dev/null | tr -d v)" || echo "Node 18 or newer|nodejs"
    has npm || echo "npm|npm"
    if [ "$1" = compose ]; then
        has python3 || echo "Python 3|python3"
        return 0
    fi
    at_least 7.0 "$(redis-server --version 2>/dev/null | sed 's/.* v=\([0-9.]*\).*/\1/')" || echo "redis-server 7.0 or newer|redis-server"
    has nginx || echo "nginx|nginx"
    [ "$1" = bench ] || { has prometheus && has promtool; } || echo "Prometheus with promtool|prometheus"
    if [ "$1" = bench ]; then
        # Elsewhere than on Debian and Ubuntu the benchmark goes without it.
        [ -e "$NCHAN" ] || ! has apt-get || echo "nchan|libnginx-mod-nchan"
        return 0
    fi
    python3 -c 'import ensurepip, venv' 2>/dev/null || echo "Python 3 with venv|python3 python3-venv"
    has chromium || has chromium-browser || has google-chrome || has google-chrome-stable || echo "Chromium|$(chromium_package)"
}

# Ubuntu's package has the older name, and is a snap.
chromium_package() { if grep -qs '^ID=ubuntu' /etc/os-release; then echo chromium-browser; else echo chromium; fi; }

list() { cut -d '|' -f 1 <<<"$1" | paste -sd , | sed 's/,/, /g'; }

install_missing() {
    local lines packages log service
    lines=$(missing "$1")
    [ -n "$lines" ] || return 0
    has apt-get || die "this system has no apt-get; install by its own means: $(list "$lines")"
    packages=$(cut -d '|' -f 2 <<<"$lines" | paste -sd ' ')
    [ "$(id -u)" -eq 0 ] || has sudo || die "missing: $(list "$lines"); run as root: apt-get install $packages"
    say "missing: $(list "$lines"); installing with apt-get: $packages (a minute or two)"
    hold_services
    log=$(mktemp)
    # shellcheck disable=SC2086 # one word a package
    if ! as_root env DEBIAN_FRONTEND=noninteractive sh -c '
        apt-get update -q -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 &&
        apt-get install -q -y --no-install-recommends -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 "$@"' \
        sh $packages </dev/null >"$log" 2>&1; then
        tail -n 30 "$log" >&2
        die "apt-get failed, all it said is in $log; wanted: $packages"
    fi
    rm -f "$log"
    release_services
    # At boot too, the ports of Redis and nginx stay free for whoever wants them.
    if [ -d /run/systemd/system ]; then
        for service in redis-server nginx prometheus; do
            [[ " $packages " != *" $service "* ]] || as_root systemctl disable --quiet "$service"
        done
    fi
    lines=$(missing "$1")
    [ -z "$lines" ] || die "apt-get brought no $(list "$lines") on this system: install it by hand"
}

# Debian starts a service as soon as it is installed, unless this file says no: the tests start
# servers of their own on ports of their own, and need none of the system's.
readonly POLICY=/usr/sbin/policy-rc.d
held=
hold_services() {
    [ ! -e "$POLICY" ] || return 0
    held=yes
    trap release_services EXIT
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$POLICY" >/dev/null
    as_root chmod 755 "$POLICY"
}
release_services() {
    [ -n "$held" ] || return 0
    held=
    as_root rm -f "$POLICY"
}

# up_to_date FILE STATE: was this state the last one that FILE was written with?
up_to_date() { [ "$(cat "$1" 2>/dev/null)" = "$2" ]; }

# node_packages DIRECTORY
node_packages() {
    [ -f "$1/package-lock.json" ] || return 0
    local state stamp=$1/node_modules/.herald-setup
    state="$(cat "$1/package.json" "$1/package-lock.json" | cksum) $(node --version)"
    ! up_to_date "$stamp" "$state" || return 0
    say "installing the Node packages of $1"
    # No install scripts, and so no browser of playwright's own: the tests use the system's.
    (cd "$1" && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --ignore-scripts --no-audit --no-fund --loglevel=error </dev/null) ||
        die "npm ci failed in $1"
    echo "$state" >"$stamp"
}

# Some of the end-to-end tests use the typed client.
build_client() {
    local state stamp=clients/js/node_modules/.herald-build
    state=$(find clients/js/src clients/js/build.mjs -type f -exec cksum {} + | cksum)
    ! up_to_date "$stamp" "$state" || [ ! -f clients/js/dist/index.js ] || return 0
    say "building clients/js"
    npm --prefix clients/js run --silent build </dev/null || die "clients/js does not build"
    echo "$state" >"$stamp"
}

# python_packages REQUIREMENTS VENV
python_packages() {
    local state stamp=$2/.herald-setup
    # The directory is in the state because a virtual environment does not survive being moved.
    state="$(cksum <"$1") $(python3 --version) $PWD"
    ! up_to_date "$stamp" "$state" || ! "$2/bin/python" -c '' 2>/dev/null || return 0
    say "installing the Python packages of $1 into $2"
    python3 -m venv --clear "$2" || die "python3 -m venv failed"
    "$2/bin/python" -m pip install --quiet --disable-pip-version-check --no-input -r "$1" </dev/null ||
        die "pip install failed for $1"
    echo "$state" >"$stamp"
}

case "${1:-}" in
run)
    check_rust run
    install_missing run
    ;;
test)
    check_rust test
    install_missing test
    for directory in "${JS[@]}"; do node_packages "$directory"; done
    build_client
    python_packages "$PYTHON" .venv
    say "all that the tests need is there"
    ;;
manifests)
    check_rust run
    install_missing manifests
    mkdir -p target
    python_packages scripts/ci/requirements.txt target/manifests
    ;;
compose)
    check_rust run
    install_missing compose
    node_packages crates/herald-e2e/js
    ;;
bench)
    check_rust run
    install_missing bench
    node_packages "$BENCH_JS"
    ;;
instructions)
    check_rust run
    install_missing instructions
    ;;
*) die "usage: scripts/setup.sh run|test|compose|manifests|bench|instructions" ;;
esac
