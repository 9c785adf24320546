"""Unpack the peers of the tests, Debian's Open vSwitch, into a private cache.

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

PACKAGES = (
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
)


def cache_dir() -> Path:
    configured = os.environ.get("NETLOOM_PEERS")
    return Path(configured) if configured else Path.home() / ".cache" / "netloom" / "peers"


def run(*argv: str, cwd: Path) -> None:
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"fetch_peers: {' '.join(argv)} failed:\n{done.stdout}{done.stderr}")


def download(into: Path) -> None:
    """Fetch the packages; a fresh machine has no package lists yet, so try again with them."""
    argv = ("apt-get", "download", "-q", *PACKAGES)
    if subprocess.run(argv, cwd=into, capture_output=True).returncode:
        run("apt-get", "update", "-qq", cwd=into)
        run(*argv, cwd=into)


def main() -> int:
    target = cache_dir() / "ovs"
    if (target / "usr/lib/openvswitch-switch/ovs-vswitchd").exists():
        return 0
    print("netloom: unpacking Debian's Open vSwitch for the interop tests", file=sys.stderr)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        debs, tree = Path(scratch, "debs"), Path(scratch, "tree")
        debs.mkdir()
        # apt-get downloads as its own user where it can; let it in.
        os.chmod(scratch, 0o755)
        os.chmod(debs, 0o777)
        download(debs)
        for deb in sorted(debs.glob("*.deb")):
            run("dpkg", "-x", str(deb), str(tree), cwd=debs)
        shutil.rmtree(target, ignore_errors=True)
        tree.rename(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
