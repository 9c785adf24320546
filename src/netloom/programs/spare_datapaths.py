"""Data paths that people make by hand (`dpctl/add-dp`): ports and flows, but no bridge.

Their packets that match no flow are lost, for nobody is there to ask.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Protocol

from netloom.base.counters import Counters
from netloom.base.errors import ConfigError
from netloom.datapath.dpctl_ct import Failure
from netloom.datapath.dpif import LOCAL_PORT, Dpif, DpPortNo
from netloom.datapath.userspace.cores import Core
from netloom.datapath.userspace.polling import PollingDpif
from netloom.netdev.device import Device, DeviceFactory
from netloom.transport.loop import MainLoop

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from netloom.datapath.offload import OffloadPolicy
    from netloom.ofproto.backer import Backer

_BATCH = 64


class _Types(Protocol):
    backers: dict[str, Backer]
    offload: OffloadPolicy

    def types(self) -> frozenset[str]: ...

    def device_type(self, datapath_type: str, interface_type: str) -> str: ...


class SpareDatapaths:
    """The data paths beside those of the bridges in `owner` (`datapath.dpctl_ports`)."""

    def __init__(
        self,
        loop: MainLoop,
        counters: Counters,
        devices: DeviceFactory,
        owner: _Types,
        cores: Sequence[Core] = (),
    ) -> None:
        self._cores = cores
        self._loop = loop
        self._counters = counters
        self._factory = devices
        self._owner = owner
        self.dpifs: list[PollingDpif] = []
        self._devices: dict[tuple[str, str], Device] = {}

    def find_datapath(self, type_: str, name: str) -> Dpif | None:
        """One of all data paths, bridges' own too; raises Failure if it is of another type."""
        if self._has_other_type(type_, name):
            raise Failure("opening datapath", errno.EINVAL)
        found = (dpif for dpif in self._everyone() if dpif.name == f"{type_}@{name}")
        return next(found, None)

    def _everyone(self) -> list[Dpif]:
        dpifs = [backer.dpif for backer in self._owner.backers.values()]
        return [*dpifs, *self.dpifs]

    def _has_other_type(self, type_: str, name: str) -> bool:
        """Data paths in user space have names that differ, whatever their types."""
        return any(
            dpif.name.rpartition("@")[2] == name and dpif.type != type_ for dpif in self._everyone()
        )

    def add_datapath(self, type_: str, name: str) -> Dpif:
        """Make a data path with a local port of its name."""
        if type_ not in self._owner.types():
            raise Failure("add_dp", errno.EAFNOSUPPORT)
        if self._has_other_type(type_, name):
            raise Failure("add_dp", errno.EINVAL)
        if self.find_datapath(type_, name) is not None:
            raise Failure("add_dp", errno.EEXIST)
        full_name, policy = f"{type_}@{name}", self._owner.offload
        dpif = PollingDpif(type_, full_name, self._loop.clock, self._counters, self._cores, policy)
        try:
            dpif.port_add(self._open(dpif, name, "internal"), LOCAL_PORT)
        except ConfigError as error:
            raise Failure(f"add_dp: {error}", errno.EINVAL) from error
        self.dpifs.append(dpif)
        return dpif

    def remove_datapath(self, dpif: Dpif) -> None:
        """Remove one that was made here, and close its devices."""
        if not isinstance(dpif, PollingDpif) or dpif not in self.dpifs:
            raise Failure("del_dp", errno.EBUSY)
        for port in dpif.ports():
            self.close_port(dpif, port.number)
        dpif.close()
        self.dpifs.remove(dpif)

    def open_port(self, dpif: Dpif, name: str, type_: str) -> Device:
        """A device to be added to a data path; raises ConfigError."""
        return self._open(dpif, name, type_)

    def close_port(self, dpif: Dpif, number: DpPortNo) -> None:
        """Take a port away. A bridge's port comes back with the next change of the configuration;
        until then its device stays open."""
        backers = [backer for backer in self._owner.backers.values() if backer.dpif is dpif]
        if any(backer.lose_port(number) for backer in backers):
            return
        port = next(port for port in dpif.ports() if port.number == number)
        dpif.port_del(number)
        self.discard_port(dpif, port.name)

    def discard_port(self, dpif: Dpif, name: str) -> None:
        """Close a device that is no port, or none any more."""
        device = self._devices.pop((dpif.name, name), None)
        if device is not None:
            device.close()

    def _open(self, dpif: Dpif, name: str, type_: str) -> Device:
        options: Mapping[str, str] = {}
        device = self._factory.open(name, self._owner.device_type(dpif.type, type_), options)
        self._devices[dpif.name, name] = device
        return device

    def run(self) -> None:
        """Move packets; those that would go up are dropped."""
        for dpif in self.dpifs:
            dpif.run(self._loop.clock.now_ms())
            while dpif.recv_upcalls(_BATCH):
                self._counters.counter("datapath_drop_upcall_error").add(1)

    def close(self) -> None:
        for dpif in list(self.dpifs):
            self.remove_datapath(dpif)
