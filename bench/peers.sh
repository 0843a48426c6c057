#!/bin/sh
# Fetches the peers that `python -m bench.parse` and `python -m bench.distributed` compare with, into a folder outside the
# repository, without installing anything: syslog-ng, rsyslog, liblognorm and their libraries as Debian packages, unpacked
# (on Debian or Ubuntu), and a small program around VRL, the language of Vector, built by cargo.
# What is missing is left out of the table with its reason.
#
#   bench/peers.sh [FOLDER]        default: $SOC_BENCH_DIR or ~/.cache/soc-bench, below it peers/
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-${SOC_BENCH_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/soc-bench}}/peers
mkdir -p "$folder/root" "$folder/debs"

if command -v apt-get >/dev/null && command -v dpkg >/dev/null; then
    (
        cd "$folder/debs"
        apt-get download syslog-ng-core libivykis0 libnet1 libjson-c5 libwrap0 libpcre3 rsyslog rsyslog-elasticsearch liblognorm5 libestr0 libfastjson4
        for package in *.deb; do dpkg -x "$package" "$folder/root"; done
    )
    echo "unpacked below $folder/root"
else
    echo "no apt-get and dpkg: syslog-ng and rsyslog are left out" >&2
fi

if command -v cargo >/dev/null; then
    CARGO_TARGET_DIR="$folder/vrl-target" cargo build --release --manifest-path "$here/vrl/Cargo.toml"
    cp "$folder/vrl-target/release/soc-bench-vrl" "$folder/vrl"
    echo "built $folder/vrl"
else
    echo "no cargo: VRL is left out" >&2
fi
