#!/bin/sh
# Makes .venv with what requirements/<set>.txt lists: `scripts/setup.sh runtime|dev`. The second call does nothing.
# SOC_PYTHON names the interpreter to use instead of the newest one found.
set -eu

set_name=${1:-runtime}
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
cd "$root"
requirements=requirements/$set_name.txt
[ -f "$requirements" ] || { echo "setup: no such set: $set_name (runtime, dev)" >&2; exit 2; }
venv_python=.venv/bin/python

mark=$(cksum < "$requirements")" $root"
for done_set in dev "$set_name"; do
    stamp=.venv/.ready-$done_set
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(cksum < "requirements/$done_set.txt") $root" ] && [ -x "$venv_python" ] && exit 0
done

say() { echo "setup: $*" >&2; }

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' > /dev/null 2>&1; }
has_venv() { "$1" -c 'import venv, ensurepip' > /dev/null 2>&1; }

uv=$(command -v uv || true)
python= without_venv=
# Versions that this release is tested with first, the newest before; then whatever is newer or unnamed.
for name in ${SOC_PYTHON:-python3.14 python3.13 python3.12 python3.11 python3.17 python3.16 python3.15 python3 python}; do
    found=$(command -v "$name" || true)
    [ -n "$found" ] && is_new_enough "$found" || continue
    if [ -n "$uv" ] || has_venv "$found"; then python=$found; break; fi
    [ -n "$without_venv" ] || without_venv=$found
done

if [ -z "$python" ] && [ -n "$without_venv" ]; then
    version=$("$without_venv" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    say "error: $without_venv (Python $version) lacks the modules venv and ensurepip."
    say "hint: Debian, Ubuntu: apt-get install python$version-venv (or python3-venv); or install uv, which needs neither"
    exit 3
fi
if [ -z "$python" ]; then
    say "error: no Python 3.11 or newer on PATH."
    say "hint: Debian, Ubuntu: apt-get install python3 python3-venv; Fedora: dnf install python3; or name one: SOC_PYTHON=/path/to/python3.12 make setup"
    exit 3
fi

# Certificates: whatever is set already is used. Old versions of pip and uv look into a bundle of their own instead of
# the system's, so a proxy that the machine trusts would be refused: they are told where the system's bundle is.
use_system_certificates() {
    : "${UV_NATIVE_TLS:=1}" "${UV_SYSTEM_CERTS:=1}"
    # One name or the other, as the version of uv knows: the newer warns about the older name.
    if [ -n "$uv" ] && "$uv" help venv 2> /dev/null | grep -q -- --system-certs; then export UV_SYSTEM_CERTS; else export UV_NATIVE_TLS; fi
    [ -z "${PIP_CERT:-}${REQUESTS_CA_BUNDLE:-}${CURL_CA_BUNDLE:-}" ] || return 0
    "$1" -m pip config get global.cert > /dev/null 2>&1 && return 0
    "$1" -m pip --version 2> /dev/null | grep -Eq '^pip (2[4-9]\.[2-9]|2[5-9]\.|[3-9][0-9]\.)' && return 0
    for bundle in "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem /etc/ssl/cert.pem; do
        if [ -n "$bundle" ] && [ -r "$bundle" ]; then PIP_CERT=$bundle; export PIP_CERT; return 0; fi
    done
}

say "$("$python" -V) ($python), $set_name requirements, with $([ -n "$uv" ] && echo uv || echo pip)"
if ! [ -x "$venv_python" ] || ! is_new_enough "$venv_python" || [ "$(cat .venv/.root 2> /dev/null || echo "$root")" != "$root" ]; then
    rm -rf .venv
    if [ -n "$uv" ]; then
        use_system_certificates "$python"
        "$uv" venv --quiet --no-project --python "$python" .venv
    else
        "$python" -m venv .venv
    fi
    echo "$root" > .venv/.root
fi
use_system_certificates "$venv_python"
if [ -n "$uv" ]; then
    "$uv" pip install --quiet --python "$venv_python" --require-hashes -r "$requirements"
else
    "$venv_python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$requirements"
fi || {
    say "error: the packages of $requirements could not be installed."
    say "hint: is the package index reachable (proxy, certificates: PIP_CERT, SSL_CERT_FILE)? Without a network: make bundle on another machine"
    exit 4
}
echo "$mark" > ".venv/.ready-$set_name"
say "ready"
