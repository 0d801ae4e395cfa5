#!/usr/bin/env bash
# Installs what the tests need beside a Rust toolchain, and prints the path of the Python environment.
#
# Progress goes to stderr and the path to stdout, so that `venv="$(scripts/setup.sh)"` works.
# A second run finds everything in place and takes no time.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cache="${TARN_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/tarn}"
requirements="$root/tests/python/requirements.txt"
packages="$root/tests/node/package.json"
python="${PYTHON:-python3}"
uv_version="0.13.9"

say() { printf 'setup: %s\n' "$*" >&2; }

# Prints the Debian packages whose command or module is missing, one a line.
missing_packages() {
    command -v mosquitto >/dev/null || echo mosquitto
    command -v mosquitto_pub >/dev/null || echo mosquitto-clients
    command -v paho_c_sub >/dev/null || echo paho.mqtt.c-examples
    command -v strace >/dev/null || echo strace
    command -v wrk >/dev/null || echo wrk
    # Spark, which reads stores as analysts do, runs on Java 17.
    command -v java >/dev/null || echo openjdk-17-jre-headless
    command -v node >/dev/null || echo nodejs
    command -v npm >/dev/null || echo npm
    command -v chromium >/dev/null || echo chromium
    command -v "$python" >/dev/null || echo python3
    # Debian splits ensurepip from Python itself, and a venv without it has no pip.
    "$python" -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

install_packages() {
    local missing
    mapfile -t missing < <(missing_packages)
    [ "${#missing[@]}" -gt 0 ] || return 0
    if ! command -v apt-get >/dev/null; then
        say "install these packages by hand, there is no apt-get: ${missing[*]}"
        exit 1
    fi
    say "installing ${missing[*]}"
    as_root apt-get update -q >&2
    # A policy file that says 101 keeps Debian from starting the broker as a service: the tests
    # start their own, and a service would hold port 1883.
    local policy=/usr/sbin/policy-rc.d made_policy=
    if [ ! -e "$policy" ]; then
        made_policy=yes
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
    fi
    local code=0
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" >&2 || code=$?
    [ -z "$made_policy" ] || as_root rm -f "$policy"
    return "$code"
}

# Makes the environment anew when the requirements, uv, Python or Node.js itself have changed. The packages
# of Node.js lie in it, too, as node_modules.
install_venv() {
    local venv="$cache/venv" mark wanted
    mark="$venv/.complete"
    wanted="$({ cat "$requirements" "$packages"; echo "$uv_version"; "$python" -VV; node --version; } | sha256sum | cut -d' ' -f1)"
    if [ "$(cat "$mark" 2>/dev/null)" != "$wanted" ]; then
        say "making the Python environment in $venv"
        rm -rf -- "$venv"
        "$python" -m venv "$venv" >&2
        # uv resolves and unpacks these packages in seconds; an old pip takes minutes over them.
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "uv==$uv_version" >&2
        "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" -r "$requirements" >&2
        cp -- "$packages" "$venv/package.json"
        npm install --silent --no-package-lock --no-audit --no-fund --prefix "$venv" >&2
        # The mark comes last, so that an interrupted run is done again.
        printf '%s\n' "$wanted" >"$mark"
    fi
    printf '%s\n' "$venv"
}

# Installs exactly what the lock files of the dashboard, of its browser tests and of generated clients say, where they say
# otherwise than what is there. npm wants to find packages beside the files that name them, so they are in the checkout, not in git.
install_node_modules() {
    local dir mark
    for dir in "$root/dashboard" "$root/tests/browser" "$root/tests/clients/typescript"; do
        mark="$dir/node_modules/.package-lock.json"
        [ "$mark" -nt "$dir/package-lock.json" ] && continue
        say "installing the packages of $dir"
        npm ci --silent --prefix "$dir" >&2
        touch "$mark"
    done
}

mkdir -p "$cache"
# Two runs at once would otherwise install into the same directory.
exec 9>"$cache/setup.lock"
flock 9
install_packages
install_node_modules
install_venv
