"""Attaching the programs to devices: by tcx links (Linux 6.6), else by the clsact queueing
discipline.

Both see a packet before the host does, at the same place. A tcx link can be pinned, and its program
exchanged without a gap; a filter of clsact (`clsact`) stays with its device by itself, and is
exchanged the same way.
"""

from __future__ import annotations

import errno
import os

from netloom.datapath.ebpf import clsact
from netloom.datapath.ebpf.pins import PinDirectory
from netloom.datapath.ebpf.syscall import link_create, link_update


class Attachments:
    """The devices that one program is attached to. `use_tcx` None tries tcx first."""

    def __init__(
        self, program: int, pins: PinDirectory | None, use_tcx: bool | None = None
    ) -> None:
        self._program = program
        self._pins = pins
        self._links: dict[int, int] = {}
        self.use_tcx = use_tcx

    def attach(self, ifindex: int) -> None:
        """Raises OSError with the kernel's reason."""
        if self.use_tcx is not False:
            try:
                self._links[ifindex] = self._link(ifindex)
            except OSError as error:
                # A kernel that does not know tcx does not know the number.
                if self.use_tcx or error.errno != errno.EINVAL:
                    raise
                self.use_tcx = False
            else:
                self.use_tcx = True
                return
        clsact.attach(ifindex, self._program)

    def detach(self, ifindex: int) -> None:
        """Let the device's packets go to the host. A device that is gone is no error."""
        if self._pins is not None:
            self._pins.drop_link(ifindex)
        if (link := self._links.pop(ifindex, None)) is not None:
            os.close(link)
        elif not self.use_tcx:
            clsact.detach(ifindex)

    def renew(self, ifindexes: list[int]) -> None:
        """Have these devices, to which an earlier daemon attached its program, run ours; one that
        is gone meanwhile is left out."""
        for ifindex in ifindexes:
            if (link := self._take_over(ifindex)) is not None:
                self._links[ifindex] = link

    @property
    def devices(self) -> set[int]:
        """The indexes of those that have pinned links."""
        return set(self._links)

    def close(self) -> None:
        """Let go; pinned links and filters stay."""
        for link in self._links.values():
            os.close(link)
        self._links.clear()

    def _link(self, ifindex: int) -> int:
        held = self._links.pop(ifindex, None)
        link = held if held is not None else self._take_over(ifindex)
        if link is None:
            link = link_create(self._program, ifindex)
            if self._pins is not None:
                self._pins.keep_link(ifindex, link)
        return link

    def _take_over(self, ifindex: int) -> int | None:
        """The pinned link of an earlier daemon, now to our program; None if there is none, or that
        device is gone and another has its index."""
        link = self._pins.find_link(ifindex) if self._pins is not None else None
        if link is None:
            return None
        try:
            link_update(link, self._program)
        except OSError:
            os.close(link)
            assert self._pins is not None
            self._pins.drop_link(ifindex)
            return None
        return link
