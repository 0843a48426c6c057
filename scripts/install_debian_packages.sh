#!/bin/sh
# Installs what the tests with real servers need on Debian and is missing; says what it does. Run as root, or it only says.
#
# Needed: Maven (fetches the servers' jars) and a JDK of version 21 or newer (runs them). Debian 12 has no such JDK in its
# archive; there, add one by hand (a Temurin or any other build under /usr/lib/jvm, or JAVA_HOME) or use a container engine.
set -eu

newest_java() {
    for home in "${JAVA_HOME:-}" /usr/lib/jvm/* /opt/java/*; do
        [ -n "$home" ] && [ -x "$home/bin/javac" ] && [ -r "$home/release" ] || continue
        sed -n 's/^JAVA_VERSION="\([0-9]*\).*/\1/p' "$home/release"
    done | sort -n | tail -1
}

candidate() { # whether apt offers the package
    apt-cache policy "$1" 2>/dev/null | grep -q 'Candidate: [^(]'
}

missing=""
command -v mvn >/dev/null 2>&1 || missing="$missing maven"
command -v setpriv >/dev/null 2>&1 || missing="$missing util-linux"
command -v nginx >/dev/null 2>&1 || [ -x /usr/sbin/nginx ] || missing="$missing nginx-light"
command -v dovecot >/dev/null 2>&1 || [ -x /usr/sbin/dovecot ] || missing="$missing dovecot-imapd"
java=$(newest_java)
if [ "${java:-0}" -lt 21 ]; then
    jdk=""
    for package in openjdk-25-jdk-headless temurin-25-jdk openjdk-21-jdk-headless temurin-21-jdk; do
        if candidate "$package"; then
            jdk=$package
            break
        fi
    done
    if [ -n "$jdk" ]; then
        missing="$missing $jdk"
    else
        echo "install_debian_packages: no JDK of version 21 or newer here (newest: ${java:-none}), and apt offers none: set JAVA_HOME, or use a container engine" >&2
    fi
fi

if [ -z "$missing" ]; then
    echo "install_debian_packages: nothing to install (JDK ${java:-none})" >&2
    exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "install_debian_packages: not installed, as this needs root and apt:$missing" >&2
    exit 0
fi
echo "install_debian_packages: installing$missing" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # several packages
apt-get install -y -qq --no-install-recommends $missing >/dev/null
# These packages start a server of their own; the tests run theirs, on free ports.
for server in nginx dovecot; do
    if echo "$missing" | grep -q "$server"; then
        service "$server" stop >/dev/null 2>&1 || true
    fi
done
