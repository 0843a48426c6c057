#!/bin/sh
# Fetches what `make bench` and `python -m bench.witnesses` compare with, into a folder outside the repository, without
# installing anything: syslog-ng, rsyslog, liblognorm and their libraries as Debian packages, unpacked (on Debian or Ubuntu);
# small programs around VRL, the language of Vector, and around rsigma, built by cargo; pySigma's SQLite backend in a virtual
# environment of its own. What is missing is left out of the tables with its reason.
#
#   bench/peers.sh [FOLDER]        default: $SOC_BENCH_DIR or ~/.cache/soc-bench, below it peers/
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-${SOC_BENCH_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/soc-bench}}/peers
mkdir -p "$folder/root" "$folder/debs"

if command -v apt-get >/dev/null && command -v dpkg >/dev/null; then
    if (
        cd "$folder/debs"
        apt-get download syslog-ng-core libivykis0 libnet1 libjson-c5 libwrap0 libpcre3 rsyslog rsyslog-elasticsearch liblognorm5 libestr0 libfastjson4
        for package in *.deb; do dpkg -x "$package" "$folder/root"; done
    ); then
        echo "unpacked below $folder/root"
    else
        echo "apt-get did not give the packages (perhaps after apt-get update): syslog-ng and rsyslog are left out" >&2
    fi
else
    echo "no apt-get and dpkg: syslog-ng and rsyslog are left out" >&2
fi

# Builds a crate of this folder outside the repository: build CRATE PROGRAM…
build() {
    crate=$1
    shift
    rm -rf "$folder/$crate-crate"
    cp -r "$here/$crate" "$folder/$crate-crate"
    # A dependency of rsigma declares a newer compiler than it needs.
    if CARGO_TARGET_DIR="$folder/$crate-target" cargo build --quiet --release --ignore-rust-version --manifest-path "$folder/$crate-crate/Cargo.toml"; then
        for program; do
            cp "$folder/$crate-target/release/${program%%=*}" "$folder/${program##*=}"
            echo "built $folder/${program##*=}"
        done
    else
        echo "cargo could not build $crate: left out" >&2
    fi
}

if command -v cargo >/dev/null; then
    build vrl soc-bench-vrl=vrl
    build rsigma bench-rsigma=bench-rsigma witness=witness
else
    echo "no cargo: VRL and rsigma are left out" >&2
fi

python=$here/../.venv/bin/python
[ -x "$python" ] || python=python3
if "$python" -m venv "$folder/pysigma" && "$folder/pysigma/bin/python" -m pip install --quiet --disable-pip-version-check pysigma==2.0.1 pysigma-backend-sqlite==2.1.1; then
    echo "installed pySigma's SQLite backend below $folder/pysigma"
else
    echo "no virtual environment for pySigma's SQLite backend: left out" >&2
fi
