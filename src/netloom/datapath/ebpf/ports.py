"""Ports of the kernel data path: which device is which port, and the programs attached to them.

A device takes part if it can hand its packets over (`KernelDevice`); any other is served by the
data path in user space, and the programs send it what is for it. The number of a port is the
programs' index into `outputs`; the way back, from the device that a packet came in at, is an array
by the low bits of the device's index with a hash behind it for those that collide.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Protocol, runtime_checkable

from netloom.base.errors import ConfigError
from netloom.datapath.ebpf.attach import Attachments
from netloom.datapath.ebpf.loader import Loaded
from netloom.datapath.ebpf.maps import HashMap, SharedArray
from netloom.datapath.ebpf.shortcuts import Shortcuts
from netloom.datapath.ebpf.spec import (
    DEVICE_SLOTS,
    MAPS,
    MAX_PORTS,
    OUTPUT,
    PORT_KIND,
    PORT_SHARE_BYTES,
    SHARE,
)

_SPECS = {spec.name: spec for spec in MAPS}
_PAIR, _U64 = Struct("<II"), Struct("<Q")


@runtime_checkable
class KernelDevice(Protocol):
    """A device whose packets the kernel can process without us."""

    def hand_over(self) -> int:
        """Stop receiving; returns the index of the device at which its packets come in."""

    def count_sent(self, count: Callable[[], tuple[int, int, int]]) -> None:
        """Add what `count` says to what the device says: packets and bytes that it has sent, and
        packets that it could not send."""


class Ports:
    """The kernel's side of the ports of one data path."""

    def __init__(self, loaded: Loaded, attachments: Attachments) -> None:
        self._attachments = attachments
        self._devices = SharedArray(loaded.maps["devices"], _SPECS["devices"])
        self._more = HashMap(loaded.maps["more_devices"], _SPECS["more_devices"])
        self._outputs = SharedArray(loaded.maps["outputs"], _SPECS["outputs"])
        self._shares = SharedArray(loaded.maps["shares"], _SPECS["shares"])
        self.shortcuts = Shortcuts(self._outputs)
        #: Port number -> index of its device.
        self._indexes: dict[int, int] = {}
        #: The same, of ports that an earlier daemon had and this one has not added yet.
        self.left_behind = self._find_earlier()

    def _find_earlier(self) -> dict[int, int]:
        found = {}
        for number in range(MAX_PORTS):
            ifindex, kind = _PAIR.unpack_from(self._outputs.view, number * OUTPUT.size)
            if kind == PORT_KIND["DEVICE"]:
                found[number] = ifindex
        return found

    def earlier_number(self, ifindex: int) -> int | None:
        """The number that the port of this device had under an earlier daemon."""
        numbers = [number for number, index in self.left_behind.items() if index == ifindex]
        return numbers[0] if numbers else None

    def renew_links(self) -> None:
        """Have what an earlier daemon attached run the programs of this one."""
        self._attachments.renew(list(self.left_behind.values()))

    def remove_left_behind(self) -> None:
        """Remove the ports that this daemon did not add."""
        for number, ifindex in list(self.left_behind.items()):
            self._indexes[number] = ifindex
            self.remove(number)
        self.left_behind.clear()
        self._attachments.drop_left_behind()

    def close(self) -> None:
        self._attachments.close()
        self.shortcuts.close()
        for array in (self._devices, self._outputs, self._shares):
            array.close()

    def attach(self, number: int, ifindex: int) -> None:
        """Have the programs take what comes in at device `ifindex`, as port `number`.

        Raises ConfigError with the kernel's reason."""
        self._write_output(number, ifindex, PORT_KIND["DEVICE"])
        self._open_share(number)
        slot = ifindex % DEVICE_SLOTS
        taken, _ = _PAIR.unpack_from(self._devices.view, slot * _PAIR.size)
        if taken in (0, ifindex):
            _PAIR.pack_into(self._devices.view, slot * _PAIR.size, ifindex, number)
        else:
            self._more.put(ifindex.to_bytes(4, "little"), number.to_bytes(4, "little"))
        self._indexes[number] = ifindex
        self.left_behind.pop(number, None)
        try:
            self._attachments.attach(ifindex)
        except OSError as error:
            self.remove(number)
            raise ConfigError(f"could not attach programs ({error.strerror})") from error
        self.shortcuts.add(number, ifindex)

    def serve_in_user_space(self, number: int) -> None:
        """Have the programs send up what is for port `number`."""
        if number < MAX_PORTS:
            self._write_output(number, 0, PORT_KIND["USERSPACE"])
            self._open_share(number)

    def remove(self, number: int) -> None:
        if number >= MAX_PORTS:
            return
        self._write_output(number, 0, PORT_KIND["NONE"])
        self.shortcuts.remove(number)
        ifindex = self._indexes.pop(number, 0)
        if not ifindex:
            return
        self._attachments.detach(ifindex)
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

    def _open_share(self, number: int) -> None:
        """Let the port use the rings. What it has in there, or an earlier port of this number has,
        stays counted until it is consumed."""
        at = number * SHARE.size + SHARE.offsets["limit"]
        _U64.pack_into(self._shares.view, at, PORT_SHARE_BYTES)

    def _write_output(self, number: int, ifindex: int, kind: int) -> None:
        _PAIR.pack_into(self._outputs.view, number * OUTPUT.size, ifindex, kind)
