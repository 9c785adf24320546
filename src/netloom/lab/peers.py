"""Debian's Open vSwitch as a peer: unpacked by tools/fetch_peers.py, never installed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from netloom.base.errors import Unsupported
from netloom.lab.switch import Programs


def peer_root(peer: str = "ovs") -> Path:
    """Where a peer's packages are unpacked (in $NETLOOM_PEERS or ~/.cache/netloom/peers)."""
    configured = os.environ.get("NETLOOM_PEERS")
    cache = Path(configured) if configured else Path.home() / ".cache" / "netloom" / "peers"
    return cache / peer


def service_program(name: str) -> tuple[str, str]:
    """A program that agents run (dnsmasq, nft): its path, and the path of its libraries (empty if
    the system has it). Raises Unsupported if it is neither installed nor unpacked."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if found:
        return found, ""
    root = peer_root("services")
    program = root / "usr/sbin" / name
    if not program.exists():
        package = {"dnsmasq": "dnsmasq-base", "nft": "nftables"}.get(name, name)
        raise Unsupported(f"{name} is not installed (package {package})", "services")
    folders = {str(path.parent) for path in root.glob("**/lib*.so*")}
    return str(program), os.pathsep.join(sorted(folders))


def debian_programs() -> Programs:
    """The peer's programs; raises Unsupported if it is not unpacked here."""
    root = peer_root()
    if not (root / "usr/lib/openvswitch-switch/ovs-vswitchd").exists():
        raise Unsupported(f"Debian's Open vSwitch is not in {root}; run `make test`", "peers")
    libraries = sorted({str(path.parent) for path in root.glob("usr/lib/*/lib*.so*")})
    return Programs(
        path=tuple(
            str(root / "usr" / folder)
            for folder in ("bin", "sbin", "lib/openvswitch-switch", "lib/openvswitch-common")
        ),
        env={
            "LD_LIBRARY_PATH": os.pathsep.join(libraries),
            "OVS_PKGDATADIR": str(root / "usr/share/openvswitch"),
        },
    )
