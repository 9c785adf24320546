"""The processor cores of this machine and their NUMA nodes, from /sys
(Documentation/ABI/testing/sysfs-devices-node of Linux)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from netloom.base.numbers import decimal
from netloom.datapath.userspace.cores import Core

_SYSTEM: Final = Path("/sys/devices/system")


def read_cores(system: Path = _SYSTEM) -> tuple[Core, ...]:
    """The cores that are on line, by number; a machine without NUMA is one node."""
    nodes = [(decimal(path.name[4:]), path) for path in system.glob("node/node*")]
    found = [(number, path) for number, path in nodes if number is not None]
    cores = [
        Core(core, node)
        for node, folder in found or [(0, system / "cpu")]
        for path in folder.glob("cpu*")
        if (core := decimal(path.name[3:])) is not None
        and (system / "cpu" / path.name / "topology/core_id").exists()
    ]
    return tuple(sorted(cores))
