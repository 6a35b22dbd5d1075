#!/usr/bin/env bash
# Everything that must hold before a change goes in; ends with a summary, and non-zero if a step
# failed. A step that failed does not hide what the later ones would find.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
# Where Debian keeps nginx, and a shell that is not root's does not look.
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
readonly LOG=target/test.log CLIENT_LOG=target/client.log EVIDENCE=target/evidence

summary=()
failed=

# step NAME COMMAND...: runs it and notes how it went.
step() {
    local name=$1 from=$SECONDS status=0
    shift
    printf '\n== %s: %s\n' "$name" "$*"
    "$@" || status=$?
    note "$name" "$([ $status -eq 0 ] && echo ok || echo "FAILED ($status)")" $((SECONDS - from))
    return $status
}

note() {
    summary+=("$(printf '%-8s %-14s %4d s' "$1" "$2" "$3")")
    [ "$2" = ok ] || failed=yes
}

cargo_test() {
    # A process that a test left behind would keep a pipe open for ever: tee is waited for briefly.
    local status=0 tee
    local -x HERALD_E2E_EVIDENCE=$PWD/$EVIDENCE
    exec 3> >(tee "$LOG")
    tee=$!
    cargo test --workspace --locked --no-fail-fast >&3 2>&1 3>&- || status=$?
    exec 3>&-
    for _ in $(seq 50); do
        kill -0 "$tee" 2>/dev/null || return $status
        sleep 0.1
    done
    kill "$tee"
    echo "a test left a process behind that still holds its output" >&2
    return 1
}

# What the services of all end-to-end tests logged, exported and showed holds no secret of any test.
secrets() {
    local said=$EVIDENCE/said known=$EVIDENCE/secrets holders
    sort -u -o "$known" "$known" || return 1
    printf '%d files (%s) are searched for %d secrets\n' "$(find "$said" -type f | wc -l)" \
        "$(du -sh "$said" | cut -f1)" "$(wc -l <"$known")"
    [ -s "$known" ] && [ -n "$(find "$said" -name '*.metrics' -size +0)" ] &&
        [ -n "$(find "$said" -name '*.traces' -size +0)" ] || return 1
    if holders=$(grep -rFlf "$known" "$said" "$LOG" "$CLIENT_LOG"); then
        printf 'these hold a secret of %s:\n%s\n' "$known" "$holders" >&2
        return 1
    fi
    rm -rf "$EVIDENCE"
}

# clients/js, against the binary that was just built.
client_test() {
    HERALD_BIN=$(realpath "${CARGO_TARGET_DIR:-target}/debug/herald") \
        npm --prefix clients/js test --silent </dev/null 2>&1 | tee "$CLIENT_LOG"
    return "${PIPESTATUS[0]}"
}

finish() {
    printf '\n== summary\n'
    printf '%s\n' "${summary[@]}"
    if [ -f "$LOG" ]; then
        awk '/^test result:/ { passed += $4; failed += $6; ignored += $8 }
             END { printf "%d tests passed, %d failed, %d ignored\n", passed, failed, ignored }' "$LOG"
        # libtest repeats the names of those that failed, indented, at the end of each binary.
        sed -n '/^failures:$/,/^test result/s/^    \([^ ]*\)$/  failed: \1/p' "$LOG" | sort -u
        # And why, where only the end of what this prints is kept.
        sed -n "/^thread '.* panicked at /,/^stack backtrace:/p" "$LOG" | grep -v '^stack backtrace:' | tail -n 60
    fi
    if [ -f "$CLIENT_LOG" ]; then
        awk '/^# (pass|fail|skipped) / { n[$2] = $3 } /^# size: / { size = substr($0, 3) }
             END { printf "%d tests of clients/js passed, %d failed, %d skipped; %s\n", n["pass"], n["fail"], n["skipped"], size }' "$CLIENT_LOG"
        sed -n 's/^ *not ok [0-9]* - /  failed: /p' "$CLIENT_LOG"
    fi
    [ -z "$failed" ] || exit 1
    echo "all good"
}

mkdir -p target
rm -rf "$LOG" "$CLIENT_LOG" "$EVIDENCE"
step setup scripts/setup.sh test || finish
step format cargo fmt --all --check
step clippy cargo clippy --workspace --all-targets --locked -- -D warnings
# The end-to-end tests start the binaries as processes.
step build cargo build --workspace --bins --locked || finish
step client client_test
step tests cargo_test
step secrets secrets
finish
