"""Debian's Open vSwitch as a peer: unpacked by tools/fetch_peers.py, never installed."""

from __future__ import annotations

import os
from pathlib import Path

from netloom.base.errors import Unsupported
from netloom.lab.switch import Programs


def peer_root(peer: str = "ovs") -> Path:
    """Where a peer's packages are unpacked (in $NETLOOM_PEERS or ~/.cache/netloom/peers)."""
    configured = os.environ.get("NETLOOM_PEERS")
    cache = Path(configured) if configured else Path.home() / ".cache" / "netloom" / "peers"
    return cache / peer


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
