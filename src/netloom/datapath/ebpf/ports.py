"""Ports of the kernel data path: which device is which port, and the programs attached to them.

A device takes part if it can hand its packets over (`KernelDevice`); any other is served by the
data path in user space, and the programs send it what is for it. The number of a port is the
programs' index into `outputs`; the way back, from the device that a packet came in at, is an array
by the low bits of the device's index with a hash behind it for those that collide.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from struct import Struct
from typing import Protocol, runtime_checkable

from netloom.base.errors import ConfigError
from netloom.datapath.ebpf import clsact
from netloom.datapath.ebpf.attach import Attachments
from netloom.datapath.ebpf.loader import Loaded
from netloom.datapath.ebpf.maps import HashMap, SharedArray
from netloom.datapath.ebpf.pins import PinDirectory
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
from netloom.netdev.device import Device
from netloom.netdev.errors import cannot_add

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


def check_device(data_path: str, device: Device, is_uplink: bool) -> None:
    """Raises ConfigError if this can be no port."""
    state = device.state()
    if state.is_loopback or not state.is_ethernet:
        raise cannot_add(data_path, device.name, errno.EINVAL)
    if state.master and not is_uplink:
        # Who has it would get nothing any more.
        raise cannot_add(data_path, device.name, errno.EBUSY)


def detach_left(outputs: int) -> None:
    """Take the programs off the devices of a switch that does not run, by its map `outputs`. Those
    that links hold go with the links."""
    array = SharedArray(outputs, _SPECS["outputs"])
    for number in range(MAX_PORTS):
        ifindex, kind = _PAIR.unpack_from(array.view, number * OUTPUT.size)
        if ifindex and kind in (PORT_KIND["DEVICE"], PORT_KIND["UPLINK"]):
            clsact.detach(ifindex)
    array.close()


class Ports:
    """The kernel's side of the ports of one data path."""

    def __init__(
        self, loaded: Loaded, pins: PinDirectory | None, use_tcx: bool | None = None
    ) -> None:
        self._pins = pins
        #: By the kind of port.
        self._attachments = {
            PORT_KIND[kind]: Attachments(loaded.programs[program], pins, use_tcx)
            for kind, program in (("DEVICE", "nl_ingress"), ("UPLINK", "nl_uplink"))
        }
        self._devices = SharedArray(loaded.maps["devices"], _SPECS["devices"])
        self._more = HashMap(loaded.maps["more_devices"], _SPECS["more_devices"])
        self._outputs = SharedArray(loaded.maps["outputs"], _SPECS["outputs"])
        self._shares = SharedArray(loaded.maps["shares"], _SPECS["shares"])
        self._ends = HashMap(loaded.maps["ends"], _SPECS["ends"])
        self._listened: set[bytes] | None = None
        self.shortcuts = Shortcuts(self._outputs)
        #: Port number -> index of its device, and its kind.
        self._indexes: dict[int, int] = {}
        self._kinds: dict[int, int] = {}
        #: The same, of ports that an earlier daemon had and this one has not added yet.
        self.left_behind = self._find_earlier()

    def _find_earlier(self) -> dict[int, int]:
        found = {}
        for number in range(MAX_PORTS):
            ifindex, kind = _PAIR.unpack_from(self._outputs.view, number * OUTPUT.size)
            if kind in self._attachments:
                found[number] = ifindex
                self._kinds[number] = kind
        return found

    def earlier_number(self, ifindex: int) -> int | None:
        """The number that the port of this device had under an earlier daemon."""
        numbers = [number for number, index in self.left_behind.items() if index == ifindex]
        return numbers[0] if numbers else None

    def renew_links(self) -> None:
        """Have what an earlier daemon attached run the programs of this one."""
        for kind, attachments in self._attachments.items():
            of_kind = (n for n in self.left_behind if self._kinds[n] == kind)
            attachments.renew([self.left_behind[number] for number in of_kind])

    def remove_left_behind(self) -> None:
        """Remove the ports that this daemon did not add."""
        for number, ifindex in list(self.left_behind.items()):
            self._indexes[number] = ifindex
            self.remove(number)
        self.left_behind.clear()
        if self._pins is not None:
            held = set().union(*(kind.devices for kind in self._attachments.values()))
            for ifindex in set(self._pins.links()) - held:
                self._pins.drop_link(ifindex)

    def close(self) -> None:
        for attachments in self._attachments.values():
            attachments.close()
        self.shortcuts.close()
        for array in (self._devices, self._outputs, self._shares):
            array.close()

    def attach(self, number: int, ifindex: int, is_uplink: bool = False) -> None:
        """Have the programs take what comes in at device `ifindex`, as port `number`; of an uplink
        only what is for a tunnel.

        Raises ConfigError with the kernel's reason."""
        kind = PORT_KIND["UPLINK" if is_uplink else "DEVICE"]
        self._take_from_others(number, ifindex)
        if self.left_behind.get(number) == ifindex and self._kinds[number] != kind:
            # It was of the other kind, and has that kind's program.
            self._attachments[self._kinds[number]].detach(ifindex)
        self._kinds[number] = kind
        self._write_output(number, ifindex, kind)
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
            self._attachments[kind].attach(ifindex)
        except OSError as error:
            self.remove(number)
            raise ConfigError(f"could not attach programs ({error.strerror})") from error
        self.shortcuts.add(number, ifindex)

    def _take_from_others(self, number: int, ifindex: int) -> None:
        """A device that got another name is another port from now on; the port that it was, and
        that is not removed yet, has none."""
        for other, index in list(self._indexes.items()):
            if index == ifindex and other != number:
                self.remove(other)

    def listen(self, ends: Iterable[tuple[int, int, int]]) -> None:
        """Take what comes in at uplinks for these ends of tunnels: address (128 bits, IPv4
        mapped), protocol, UDP port (0: it has none)."""
        wanted = {
            ip.to_bytes(16, "big") + port.to_bytes(2, "big") + proto.to_bytes(2, "little")
            for ip, proto, port in ends
        }
        present = self._listened
        if present is None:
            present = {key for key, _ in self._ends.items()}
        for key in present - wanted:
            self._ends.delete(key)
        for key in wanted - present:
            self._ends.put(key, bytes(4))
        self._listened = wanted

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
        self._attachments[self._kinds.pop(number)].detach(ifindex)
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
