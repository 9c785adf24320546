"""Which devices have queueing disciplines of ours, kept in a file of the run directory: so that
what a daemon left that was killed can be taken off by one that never knew it.

A line is a device's index, its name and the kind of its discipline. What does not fit any more, as
after the machine began anew, is left alone.
"""

from __future__ import annotations

import socket
from pathlib import Path

from netloom.base.log import get_logger
from netloom.netdev.linux.tc import Tc

log = get_logger("netdev_linux")

FILE = "netloom.qdiscs"


class ShapedDevices:
    """The record of one run directory, which need not exist any more."""

    def __init__(self, rundir: str) -> None:
        self._path = Path(rundir) / FILE
        self._rows: dict[int, tuple[str, str]] = self._read()

    def note(self, ifindex: int, name: str, kind: str) -> None:
        """The device has a discipline of ours."""
        if self._rows.get(ifindex) != (name, kind):
            self._rows[ifindex] = name, kind
            self._write()

    def forget(self, ifindex: int) -> None:
        """It has none any more."""
        if self._rows.pop(ifindex, None) is not None:
            self._write()

    def remove_all(self, tc: Tc) -> None:
        """Take all that is there off its device, and forget it."""
        for ifindex, (name, kind) in self._rows.items():
            try:
                if _index_of(name) == ifindex and tc.kind(ifindex) == kind:
                    tc.delete(ifindex)
            except OSError as error:
                log.warn("%s: removing QoS failed (%s)", name, error.strerror)
        self._rows.clear()
        self._write()

    def _read(self) -> dict[int, tuple[str, str]]:
        try:
            lines = self._path.read_text().splitlines()
        except FileNotFoundError:
            return {}
        except OSError as error:
            log.warn("%s: %s", self._path, error.strerror)
            return {}
        rows = [line.split(" ") for line in lines]
        return {int(row[0]): (row[1], row[2]) for row in rows if len(row) == 3 and row[0].isdigit()}

    def _write(self) -> None:
        text = "".join(f"{index} {name} {kind}\n" for index, (name, kind) in self._rows.items())
        new = self._path.with_suffix(".new")
        try:
            if text:
                new.write_text(text)
                new.replace(self._path)
            else:
                self._path.unlink(missing_ok=True)
        except OSError as error:
            log.warn("%s: %s", self._path, error.strerror)


def remove_queues(rundir: str) -> None:
    """Remove the queues that the switch of `rundir`, which must not be running, left."""
    shaped = ShapedDevices(rundir)
    tc = Tc()
    try:
        shaped.remove_all(tc)
    finally:
        tc.close()


def _index_of(name: str) -> int:
    """The index of a device of this namespace; 0 if there is none."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0
