"""Ports of the kernel data path: which device is which port, and the programs attached to them.

A device takes part if it can hand its packets over (`KernelDevice`); any other is served by the
data path in user space, and the programs send it what is for it. The number of a port is the
programs' index into `outputs`; the way back, from the device that a packet came in at, is an array
by the low bits of the device's index with a hash behind it for those that collide.
"""

from __future__ import annotations

import os
from struct import Struct
from typing import Protocol, runtime_checkable

from netloom.base.errors import ConfigError
from netloom.datapath.ebpf.loader import Loaded
from netloom.datapath.ebpf.maps import HashMap, SharedArray
from netloom.datapath.ebpf.spec import (
    DEVICE_SLOTS,
    MAPS,
    MAX_PORTS,
    PORT_KIND,
    PORT_SHARE_BYTES,
    SHARE,
)
from netloom.datapath.ebpf.syscall import link_create

_SPECS = {spec.name: spec for spec in MAPS}
_PAIR, _U64 = Struct("<II"), Struct("<Q")


@runtime_checkable
class KernelDevice(Protocol):
    """A device whose packets the kernel can process without us."""

    def hand_over(self) -> int:
        """Stop receiving; returns the index of the device at which its packets come in."""


class Ports:
    """The kernel's side of the ports of one data path."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._devices = SharedArray(loaded.maps["devices"], _SPECS["devices"])
        self._more = HashMap(loaded.maps["more_devices"], _SPECS["more_devices"])
        self._outputs = SharedArray(loaded.maps["outputs"], _SPECS["outputs"])
        self._shares = SharedArray(loaded.maps["shares"], _SPECS["shares"])
        self._links: dict[int, int] = {}
        self._indexes: dict[int, int] = {}

    def close(self) -> None:
        for link in self._links.values():
            os.close(link)
        self._links.clear()
        for array in (self._devices, self._outputs, self._shares):
            array.close()

    def attach(self, number: int, ifindex: int) -> None:
        """Have the programs take what comes in at device `ifindex`, as port `number`.

        Raises ConfigError with the kernel's reason."""
        self._write_output(number, ifindex, PORT_KIND["DEVICE"])
        self._reset_share(number)
        slot = ifindex % DEVICE_SLOTS
        taken, _ = _PAIR.unpack_from(self._devices.view, slot * _PAIR.size)
        if taken in (0, ifindex):
            _PAIR.pack_into(self._devices.view, slot * _PAIR.size, ifindex, number)
        else:
            self._more.put(ifindex.to_bytes(4, "little"), number.to_bytes(4, "little"))
        self._indexes[number] = ifindex
        try:
            self._links[number] = link_create(self._loaded.programs["nl_ingress"], ifindex)
        except OSError as error:
            self.remove(number)
            raise ConfigError(f"could not attach programs ({error.strerror})") from error

    def serve_in_user_space(self, number: int) -> None:
        """Have the programs send up what is for port `number`."""
        if number < MAX_PORTS:
            self._write_output(number, 0, PORT_KIND["USERSPACE"])
            self._reset_share(number)

    def remove(self, number: int) -> None:
        if number >= MAX_PORTS:
            return
        self._write_output(number, 0, PORT_KIND["NONE"])
        if (link := self._links.pop(number, None)) is not None:
            os.close(link)
        ifindex = self._indexes.pop(number, 0)
        if not ifindex:
            return
        slot = ifindex % DEVICE_SLOTS
        taken, _ = _PAIR.unpack_from(self._devices.view, slot * _PAIR.size)
        if taken == ifindex:
            _PAIR.pack_into(self._devices.view, slot * _PAIR.size, 0, 0)
        else:
            self._more.delete(ifindex.to_bytes(4, "little"))

    def consumed(self, number: int, ring: int, n_bytes: int) -> None:
        """Give the port's share of a ring (0 misses, 1 slow path, 2 actions) back."""
        at = number * SHARE.size + SHARE.offsets["consumed"] + 8 * ring
        view = self._shares.view
        _U64.pack_into(view, at, _U64.unpack_from(view, at)[0] + n_bytes)

    def lost(self) -> int:
        """Packets of all present ports that found no room in a ring."""
        at = SHARE.offsets["lost"]
        view = self._shares.view
        return sum(
            int(_U64.unpack_from(view, number * SHARE.size + at)[0]) for number in self._indexes
        )

    def _reset_share(self, number: int) -> None:
        """What is in the rings from an earlier port of this number is no more this one's."""
        start = number * SHARE.size
        produced = bytes(self._shares.view[start : start + 24])
        data = produced + produced + bytes(8) + _U64.pack(PORT_SHARE_BYTES)
        self._shares.view[start : start + SHARE.size] = data

    def _write_output(self, number: int, ifindex: int, kind: int) -> None:
        _PAIR.pack_into(self._outputs.view, number * _PAIR.size, ifindex, kind)
