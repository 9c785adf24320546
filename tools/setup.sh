#!/bin/sh
# Install what a target needs: Debian packages that are missing, a virtual environment in .venv,
# Netloom itself with its hot modules compiled (unless NETLOOM_COMPILE=0), and for tests the peers.
# Quiet and idempotent.
#
#     tools/setup.sh run|test|bench
set -eu
cd "$(dirname "$0")/.."
target=$1
stamps=.venv/.stamps

say() { printf '%s\n' "netloom: $*" >&2; }

# command that must exist -> Debian package that brings it
commands="ip:iproute2 ping:iputils-ping"
packages="python3-venv"
case $target in
    run) commands="$commands dnsmasq:dnsmasq-base nft:nftables" ;;
    test) commands="$commands tcpdump:tcpdump ethtool:ethtool openssl:openssl" ;;
    bench) commands="$commands iperf3:iperf3 ethtool:ethtool" ;;
esac

missing=""
for pair in $commands; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair##*:}"
done
if [ ! -x .venv/bin/python ] && ! /usr/bin/python3 -c 'import ensurepip' 2>/dev/null; then
    missing="$missing $packages"
fi
# Python's headers, for compiling; without them the sources run as they are.
if [ "${NETLOOM_COMPILE:-1}" != 0 ] && [ "$(id -u)" = 0 ]; then
    python=.venv/bin/python
    [ -x "$python" ] || python=/usr/bin/python3
    header=$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')/Python.h
    case $header in
        /usr/include/*) [ -e "$header" ] || missing="$missing libpython3-dev" ;;
    esac
fi
if [ -n "$missing" ]; then
    if [ "$(id -u)" != 0 ]; then
        say "these Debian packages are missing; install them as root:$missing"
        exit 1
    fi
    say "installing Debian packages:$missing"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086 # a list of words
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

[ -x .venv/bin/python ] || { say "making .venv"; /usr/bin/python3 -m venv .venv; }
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
extras="[network]"
[ "$target" = run ] || extras="[test]"
say "installing netloom and its libraries into .venv"
.venv/bin/python -m pip install -qq -c constraints.txt setuptools wheel ziglang mypy
.venv/bin/python -m pip install -qq -c constraints.txt --no-build-isolation -e ".$extras"
.venv/bin/python tools/compile_hot.py
if [ "$target" != run ]; then
    .venv/bin/python tools/fetch_peers.py
fi
mkdir -p "$stamps"
touch "$stamps/run" "$stamps/$target"
