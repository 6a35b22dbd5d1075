#!/usr/bin/env bash
# Makes what docker-compose.yml needs to start and is in no repository: .env from .env.example, and below
# .secrets (or the directory named) the secret of clients' tokens and an API key for callers. What is there
# stays as it is. For production make your own: docs/deploy.md.
set -euo pipefail
cd "$(dirname "$0")/.."
directory=${1:-.secrets}

random() { openssl rand "$1"; }

[ -e .env ] || [ $# -gt 0 ] || cp .env.example .env
# The directory keeps others on this machine out; the files are read by the containers' own users.
mkdir -p "$directory"
chmod 700 "$directory"
if [ ! -e "$directory/jwt" ]; then
    random 32 | base64 -w 0 >"$directory/jwt"
fi
if [ ! -e "$directory/api-keys" ]; then
    # As `herald api-key local --rpc '*'` would.
    printf 'herald_%s' "$(random 32 | base64 -w 0 | tr '+/' '-_' | tr -d '=')" >"$directory/api-key"
    hash=$(sha256sum <"$directory/api-key" | cut -d ' ' -f 1)
    printf '{"keys": [{"name": "local", "hashes": ["sha256:%s"], "rpcs": ["*"]}]}\n' "$hash" >"$directory/api-keys"
fi
chmod 644 "$directory"/*
echo "local-secrets: $directory/jwt signs clients' tokens (HS256), $directory/api-key is what callers show"
