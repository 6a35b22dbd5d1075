#!/usr/bin/env bash
# `make manifests`: checks deploy/kubernetes and docker-compose.yml without a cluster: schemas, our own rules,
# and whether the binaries accept what these files give them.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$PATH:${HOME:-}/.cargo/bin"

die() {
    echo "manifests: $*" >&2
    exit 1
}
command -v kubectl >/dev/null || die "kubectl is missing (1.27 or newer): https://kubernetes.io/docs/tasks/tools"
version=$(kubectl version --client -o yaml 2>/dev/null | sed -n 's/^kustomizeVersion: v//p')
[ "$(printf '%s\n5.0\n' "${version:-0}" | sort -V | head -n 1)" = 5.0 ] ||
    die "this kubectl brings kustomize ${version:-older than 5}; 1.27 or newer is needed: https://kubernetes.io/docs/tasks/tools"

scripts/setup.sh manifests
cargo build --quiet --locked --package herald-gateway --package herald-notifier --bins
bin=$(realpath "${CARGO_TARGET_DIR:-target}/debug")

# Secrets as scripts/local-secrets.sh makes them, in a copy: the work tree stays as it is.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
scripts/local-secrets.sh "$scratch/secrets" >/dev/null
cp -r deploy/kubernetes "$scratch/kubernetes"
for overlay in "$scratch"/kubernetes/overlays/*/; do
    name=$(basename "$overlay")
    rm -rf "$overlay/secrets"
    cp -r "$scratch/secrets" "$overlay/secrets"
    kubectl kustomize "$overlay" >"$scratch/$name.yaml" || die "the overlay $name cannot be built"
done

target/manifests/bin/python scripts/ci/manifests "$bin" "$scratch"
