"""What labs leave behind: processes, namespaces, directories and pinned maps of one run of tests.

Every process that a run starts inherits a mark in its environment, whatever its name and
however often it forks; labs have the run's process in their names, and so have their namespaces
and pins. Rooms of agents are named by ids: those are new, and no living lab has them written down.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import NamedTuple

from netloom.lab.lab import LABS, existing_namespaces

MARK = "NETLOOM_TEST_RUN"
ROOMS = ("qdhcp-", "qrouter-")
PINS = Path("/sys/fs/bpf/netloom")


class Traces(NamedTuple):
    """Names, for people to read, of what is there."""

    processes: frozenset[str]
    others: frozenset[str]

    def since(self, before: Traces) -> list[str]:
        """What was not there before."""
        return sorted((self.processes - before.processes) | (self.others - before.others))


def mark() -> None:
    """Have processes that start from now on bear the mark of this run."""
    os.environ[MARK] = str(os.getpid())


def traces() -> Traces:
    """What there is of this run now; of rooms, all that are nobody's."""
    return Traces(frozenset(_processes()), frozenset([*_named(), *_rooms()]))


def _processes() -> list[str]:
    word = f"\0{MARK}={os.getpid()}\0".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environment = b"\0" + (entry / "environ").read_bytes()
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            # It has ended meanwhile.
            continue
        if word in environment and int(entry.name) != os.getpid():
            found.append(f"process {entry.name}: {command[:200]}")
    return found


def _named() -> list[str]:
    own = re.compile(rf"-{os.getpid()}(?!\d)")
    labs = [f"directory {path}" for path in LABS.glob("*") if own.search(path.name)]
    pins = [f"pins {path}" for path in PINS.glob("*") if own.search(path.name)]
    namespaces = [f"namespace {name}" for name in existing_namespaces() if own.search(name)]
    return [*labs, *pins, *namespaces]


def _rooms() -> list[str]:
    rooms = {name for name in existing_namespaces() if name.startswith(ROOMS)}
    known = set[str]()
    for pattern in ("*/namespaces", "*/*/namespaces"):
        for file in LABS.glob(pattern):
            with contextlib.suppress(FileNotFoundError):
                # Other labs end when they like.
                known.update(file.read_text().split())
    return [f"namespace {name}" for name in rooms - known]
