"""Unpack the peers of the tests into a private cache: Debian's Open vSwitch, OVN, Mininet and
PostgreSQL, OpenStack's clients, its keystone, os-vif and API tests, and the controller Faucet.
With names on the command line, only these, of which some are not fetched otherwise.

Nothing is installed into the system: packages are downloaded with `apt-get download` and unpacked
with `dpkg -x` into $NETLOOM_PEERS, by default ~/.cache/netloom/peers. Libraries that the programs
need come along, so that a bare machine can run them with LD_LIBRARY_PATH. Peers in Python get a
virtual environment each there, since they bring many libraries that nothing else wants.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

#: Peer -> a file of it, which tells that it is there, and the packages that it takes.
PEERS = {
    "ovs": (
        "usr/lib/openvswitch-switch/ovs-vswitchd",
        (
            "openvswitch-switch",
            "openvswitch-common",
            "openvswitch-pki",
            "openvswitch-testcontroller",
            "libbpf1",
            "libcap-ng0",
            "libelf1",
            "libevent-2.1-7",
            "libnuma1",
            "libunbound8",
            "libxdp1",
        ),
    ),
    "services": (
        "usr/sbin/dnsmasq",
        (
            "dnsmasq-base",
            "nftables",
            "libdbus-1-3",
            "libedit2",
            "libgmp10",
            "libhogweed6",
            "libidn2-0",
            "libjansson4",
            "libmnl0",
            "libnetfilter-conntrack3",
            "libnettle8",
            "libnfnetlink0",
            "libnftables1",
            "libnftnl11",
            "libxtables12",
        ),
    ),
    "mininet": ("usr/bin/mn", ("mininet", "inetutils-telnet", "net-tools")),
    "ovn": ("usr/bin/ovn-northd", ("ovn-central", "ovn-common", "ovn-host")),
    "postgresql": (
        "usr/lib/postgresql",
        (
            "postgresql-15",
            "postgresql-client-15",
            "libcom-err2",
            "libgssapi-krb5-2",
            "libicu72",
            "libk5crypto3",
            "libkeyutils1",
            "libkrb5-3",
            "libkrb5support0",
            "libldap-2.5-0",
            "liblz4-1",
            "libpq5",
            "libsasl2-2",
            "libxml2",
            "libxslt1.1",
            "libzstd1",
        ),
    ),
}
#: Where a system has a peer that its tests can take as well.
OF_THE_SYSTEM = {"postgresql": Path("/usr/lib/postgresql")}
#: Peer in Python -> its program and what is installed, versions pinned.
ENVIRONMENTS = {
    "openstack": (
        "bin/openstack",
        ("python-openstackclient==10.5.0", "openstacksdk==4.22.0"),
    ),
    "keystone": ("bin/keystone-manage", ("keystone==30.0.0",)),
    "os-vif": (
        "bin/privsep-helper",
        (
            "os-vif==5.3.0",
            "ovs==4.0.0",
            "ovsdbapp==3.0.0",
            "oslotest==6.1.1",
            "ddt==1.7.2",
            "testscenarios==0.7.0",
        ),
    ),
    "tempest": (
        "bin/tempest",
        (
            "tempest==47.0.0",
            "neutron-tempest-plugin==3.3.0",
            "openstacksdk==4.22.0",
            "python-openstackclient==10.5.0",
            "python-neutronclient==14.0.0",
            "oslotest==6.1.1",
            "requests-mock==1.12.1",
        ),
    ),
    "faucet": ("bin/faucet", ("faucet==1.10.12", "os-ken==3.1.0", "eventlet==0.41.3")),
}
#: Those that few want, unpacked or installed if they are named on the command line (`make suites`,
#: `make ovs-suite`).
PACKAGES_ON_DEMAND = {
    "suite-tools": (
        "usr/bin/ncat",
        (
            "conntrack",
            "iputils-arping",
            "lftp",
            "libblas3",
            "liblinear4",
            "liblua5.3-0",
            "libnetfilter-conntrack3",
            "libnfnetlink0",
            "libsctp1",
            "lksctp-tools",
            "ncat",
            "net-tools",
            "procps",
            "libproc2-0",
        ),
    ),
}
ON_DEMAND = {
    "suite-servers": ("bin/scapy", ("pyftpdlib==2.2.0", "scapy==2.8.0", "tftpy==0.8.7")),
    "neutron-suites": (
        "bin/neutron-openvswitch-agent",
        (
            "neutron==29.0.0",
            "oslotest==6.1.1",
            "testresources==2.1.2",
            "ddt==1.7.2",
            "testscenarios==0.7.0",
            "WebTest==3.0.7",
            "PyMySQL==1.2.4",
            "psycopg2-binary==2.9.13",
        ),
    ),
}


def cache_dir() -> Path:
    configured = os.environ.get("NETLOOM_PEERS")
    return Path(configured) if configured else Path.home() / ".cache" / "netloom" / "peers"


def run(*argv: str, cwd: Path) -> None:
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"fetch_peers: {' '.join(argv)} failed:\n{done.stdout}{done.stderr}")


def download(packages: tuple[str, ...], into: Path) -> None:
    """Fetch the packages; a fresh machine has no package lists yet, so try again with them."""
    argv = ("apt-get", "download", "-q", *packages)
    if subprocess.run(argv, cwd=into, capture_output=True).returncode:
        run("apt-get", "update", "-qq", cwd=into)
        run(*argv, cwd=into)


def fetch(target: Path, packages: tuple[str, ...]) -> None:
    """Unpack the packages into `target`, all or nothing."""
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        debs, tree = Path(scratch, "debs"), Path(scratch, "tree")
        debs.mkdir()
        # apt-get downloads as its own user where it can; let it in.
        os.chmod(scratch, 0o755)
        os.chmod(debs, 0o777)
        download(packages, debs)
        for deb in sorted(debs.glob("*.deb")):
            run("dpkg", "-x", str(deb), str(tree), cwd=debs)
        shutil.rmtree(target, ignore_errors=True)
        tree.rename(target)


def install(target: Path, requirements: tuple[str, ...]) -> None:
    """A peer in Python, in a virtual environment."""
    run(sys.executable, "-m", "venv", "--clear", str(target), cwd=target.parent)
    run(str(target / "bin/python"), "-m", "pip", "install", "-qq", *requirements, cwd=target)


def main(names: list[str]) -> int:
    cache = cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    packages = {**PEERS, **PACKAGES_ON_DEMAND}
    environments = {**ENVIRONMENTS, **ON_DEMAND}
    if unknown := set(names) - set(packages) - set(environments):
        sys.exit(f"fetch_peers: there is no {' or '.join(sorted(unknown))}")
    wanted = names or [*PEERS, *ENVIRONMENTS]
    for name in wanted:
        program, parts = packages.get(name) or environments[name]
        of_the_system = OF_THE_SYSTEM.get(name)
        if (cache / name / program).exists() or (of_the_system and of_the_system.exists()):
            continue
        print(f"netloom: fetching {name} for the tests beside peers", file=sys.stderr)
        bring = fetch if name in packages else install
        bring(cache / name, parts)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
