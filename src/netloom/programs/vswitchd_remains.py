"""Removes what switches left in the kernel that have ended, and whose namespaces have: a program of
its own, as the daemon's `--cleanup` takes five times as long to start."""

from __future__ import annotations

import sys

from netloom.datapath.ebpf.pins import Mounts, forget


def main(argv: list[str] | None = None) -> int:
    """Forget the maps and programs of these run directories (the first word is the program's
    name)."""
    mounts = Mounts()
    for rundir in (sys.argv if argv is None else argv)[1:]:
        forget(rundir, mounts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
