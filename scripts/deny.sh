#!/usr/bin/env bash
# Checks all dependencies against deny.toml; `scripts/deny.sh advisories` asks for known
# vulnerabilities too, which needs the network. Takes the cargo-deny that is installed, or builds
# one under target/ (two minutes, once).
set -euo pipefail
cd "$(dirname "$0")/.."
readonly VERSION=0.20.2
readonly TOOLS=$PWD/target/tools

deny=$(command -v cargo-deny || true)
if [ -z "$deny" ]; then
    deny=$TOOLS/bin/cargo-deny
    if [ ! -x "$deny" ]; then
        echo "deny: building cargo-deny $VERSION into target/tools"
        cargo install --quiet --locked --root "$TOOLS" --target-dir "$TOOLS/build" "cargo-deny@$VERSION" </dev/null
        rm -rf "$TOOLS/build"
    fi
fi
[ $# -gt 0 ] || set -- bans licenses sources
exec "$deny" --locked check "$@"
