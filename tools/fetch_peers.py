"""Unpack the peers of the tests, Debian's Open vSwitch and OVN, into a private cache.

Nothing is installed into the system: packages are downloaded with `apt-get download` and unpacked
with `dpkg -x` into $NETLOOM_PEERS, by default ~/.cache/netloom/peers. Libraries that the programs
need come along, so that a bare machine can run them with LD_LIBRARY_PATH.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

#: Peer -> a program of it, which tells that it is there, and the packages that it takes.
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
    "ovn": ("usr/bin/ovn-northd", ("ovn-central", "ovn-common", "ovn-host")),
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


def main() -> int:
    cache = cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    for name, (program, packages) in PEERS.items():
        if not (cache / name / program).exists():
            print(f"netloom: unpacking Debian's {name} for the interop tests", file=sys.stderr)
            fetch(cache / name, packages)
    return 0


if __name__ == "__main__":
    sys.exit(main())
