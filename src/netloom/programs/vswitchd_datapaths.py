"""The data paths of the daemon: one backer per `datapath_type`, made when first asked for.

`system` is the kernel data path. Where it cannot be (no rights, a kernel without what it needs, an
installation without the compiled programs) the log and the Bridge rows say why, and `system` is
served in user space like `netdev`. Both types exist at the same time, as in Open vSwitch, and ports
of one are no ports of the other. With NETLOOM_SYSTEM_DATAPATH=userspace in the environment nobody
tries the kernel, and what an earlier daemon left there goes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial

from netloom.base import paths
from netloom.base.counters import Counters
from netloom.base.errors import ConfigError, Unsupported
from netloom.base.log import get_logger
from netloom.base.record import replace
from netloom.datapath.dpif import LOCAL_PORT, Dpif, full_name
from netloom.datapath.ebpf.dpif import EbpfDpif
from netloom.datapath.ebpf.pins import Mounts, PinDirectory, find_left_map, forget
from netloom.datapath.ebpf.ports import detach_left
from netloom.datapath.offload import OffloadPolicy
from netloom.datapath.userspace.cores import Core
from netloom.datapath.userspace.polling import PollingDpif
from netloom.datapath.userspace.tunnels import SOURCE_PORTS
from netloom.flow.key import MAX_VLANS
from netloom.netdev.device import Device, DeviceFactory
from netloom.netdev.dummy import DummyFactory
from netloom.netdev.linux import host_stack
from netloom.netdev.linux.factory import LinuxFactory
from netloom.netdev.linux.internal import remove_internal_devices
from netloom.netdev.linux.shaped import remove_queues
from netloom.ofproto.backer import Backer
from netloom.ofproto.interface import Bridge
from netloom.ofproto.underlay import Underlay
from netloom.openflow.connection import Connection
from netloom.programs.export_sockets import SocketHost
from netloom.programs.spare_datapaths import SpareDatapaths
from netloom.transport.loop import MainLoop
from netloom.vswitchd.wish import HostStack, LimitsWish, ZonesWish

log = get_logger("dpif")

#: Names what serves `system`, for those who do not want the kernel: `userspace`.
CHOICE = "NETLOOM_SYSTEM_DATAPATH"


def remove_remains(rundir: str) -> None:
    """Remove what the switch of `rundir`, which must not be running, left in the kernel: maps,
    programs, and, in this network namespace, its internal devices and queues."""
    remove_internal_devices(rundir)
    remove_queues(rundir)
    mounts = Mounts()
    outputs = find_left_map(rundir, mounts, "outputs")
    if outputs is not None:
        detach_left(outputs)
        os.close(outputs)
    forget(rundir, mounts)


class DataPathSet:
    """`vswitchd.apply.DataPaths` for this machine."""

    def __init__(
        self,
        loop: MainLoop,
        counters: Counters,
        devices: DeviceFactory,
        dummy: str | None,
        has_system: bool,
        linux: LinuxFactory | None = None,
        cores: Sequence[Core] = (),
    ) -> None:
        self._loop = loop
        #: Of the machine, for threads that poll.
        self._cores = cores
        self._devices = devices
        self._linux = linux
        #: The local port of each data path of this process, by its type.
        self._own_devices: dict[str, Device] = {}
        self._counters = counters
        self._dummy = dummy
        self._types = frozenset(
            ({"system"} if has_system or dummy in ("override", "system") else set())
            | {"netdev"}
            | ({"dummy"} if dummy is not None else set())
        )
        self.backers: dict[str, Backer] = {}
        #: Until the OpenFlow flows of before are back (other_config:flow-restore-wait).
        self.is_restoring = True
        self._restore_until_ms: int | None = None
        self.underlay = Underlay()
        self._export_host = SocketHost()
        self._limits = LimitsWish()
        self.offload = OffloadPolicy()
        #: Data paths of which was said that they offload nothing.
        self._without_hardware: set[str] = set()
        self._started_ms = loop.clock.now_ms()
        self._source_ports = SOURCE_PORTS
        self.spare = SpareDatapaths(loop, counters, devices, self, cores)
        self._kernel: EbpfDpif | None = None
        self._mounts = Mounts()
        #: Why `system` is not served by the kernel, if it should be.
        self._shortfall = ""

    # -- vswitchd.apply.DataPaths --------------------------------------------------------

    def types(self) -> frozenset[str]:
        return self._types

    def device_type(self, datapath_type: str, interface_type: str) -> str:
        if interface_type != "internal":
            return interface_type
        if self._is_dummy(datapath_type):
            return "dummy-internal"
        return "tap" if datapath_type == "netdev" else "internal"

    def create_bridge(self, name: str, datapath_type: str) -> Bridge:
        if datapath_type not in self._types:
            log_ofproto = get_logger("ofproto")
            log_ofproto.warn("unknown datapath type %s", datapath_type)
            log_ofproto.warn("could not create datapath %s of unknown type %s", name, datapath_type)
            raise ConfigError("Address family not supported by protocol")
        return self._backer(datapath_type).add_bridge(name)

    def remove_bridge(self, bridge: Bridge) -> None:
        for backer in self.backers.values():
            found: Bridge | None = backer.bridges.get(bridge.name)
            if found is bridge:
                backer.remove_bridge(bridge.name)
                if not backer.bridges and backer.dpif is not self._kernel:
                    self._remove(backer)
                return

    def _remove(self, backer: Backer) -> None:
        """A data path of this process goes with its last bridge, and with it what it knows of
        connections; that of the kernel stays, as its ports may outlive the daemon."""
        del self.backers[backer.dpif.type]
        device = self._own_devices.pop(backer.dpif.type, None)
        backer.close()
        if device is not None:
            device.close()

    def set_zones(self, zones: tuple[ZonesWish, ...]) -> None:
        wanted = {wish.datapath_type: wish for wish in zones}
        for type_, backer in self.backers.items():
            wish = wanted.get(type_, ZonesWish(type_))
            backer.set_zones(wish.zones, wish.default_limit)

    def set_limits(self, limits: LimitsWish) -> None:
        # Who restores flows asks for that before the daemon starts; later nobody is waited for.
        self.is_restoring = self.is_restoring and limits.is_restoring
        self._restore_until_ms = None
        if self.is_restoring and limits.restore_timeout_s:
            self._restore_until_ms = self._started_ms + 1_000 * limits.restore_timeout_s
        self.offload.configure(limits.offload)
        if limits != self._limits:
            self._limits = limits
            if limits.leaves_segments and isinstance(self._devices, DummyFactory):
                self._devices.leave_segments()
            for backer in self.backers.values():
                self._limit(backer)

    def _limit(self, backer: Backer) -> None:
        limits = self._limits
        backer.set_limits(limits.n_vlans, limits.max_idle_ms, limits.n_flows)
        backer.set_explicit_sampled_drops(limits.explicit_sampled_drops)
        if self.offload.enabled and backer.dpif.hardware is None:
            self._complain_of_offload(backer.dpif)
        backer.is_restoring = self.is_restoring
        if backer.dpif.polling is not None:
            backer.dpif.polling.set_config(dict(limits.polling))
        if self._kernel is not None and backer.dpif is self._kernel:
            self._kernel.allow_shortcuts(limits.has_shortcuts)

    def _complain_of_offload(self, dpif: Dpif) -> None:
        if dpif.name in self._without_hardware:
            return
        self._without_hardware.add(dpif.name)
        text = "%s: other_config:hw-offload changes nothing: no device of it runs flows by itself"
        get_logger("dpif_offload").warn(text, dpif.name)

    @property
    def host_stack(self) -> HostStack | None:
        return None if self._dummy == "override" else host_stack

    def shortfall(self, datapath_type: str) -> str:
        return self._shortfall if datapath_type == "system" else ""

    def standing_of(
        self, bridge: str, connection: Connection
    ) -> tuple[str, tuple[tuple[str, str], ...]]:
        """The role of a bridge's controller and the counts of its rate limits, as the Controller
        row names them."""
        for backer in self.backers.values():
            if bridge in backer.bridges:
                manager = backer.bridges[bridge].connections
                return manager.role_of(connection), manager.packet_ins_of(connection)
        return "other", ()

    # -- the loop ------------------------------------------------------------------------

    def complete(self) -> None:
        """The first configuration is applied."""
        if self._kernel is not None:
            self._kernel.has_all_ports()

    def run(self) -> None:
        """Move packets, answer upcalls, serve controllers."""
        until_ms = self._restore_until_ms
        if until_ms is not None and self._loop.clock.now_ms() >= until_ms:
            get_logger("bridge").warn("nobody restored the flows in time; going on without them")
            self.set_limits(replace(self._limits, is_restoring=False))
        for backer in self.backers.values():
            backer.run()
        self.spare.run()

    def deadline(self) -> int | None:
        due = [at for backer in self.backers.values() if (at := backer.deadline()) is not None]
        if self._restore_until_ms is not None:
            due.append(self._restore_until_ms)
        return min(due, default=None)

    def packet_fds(self) -> dict[int, Callable[[], bool]]:
        """Descriptors that are readable when packets wait -> what takes them, and says whether all
        else has to have its turn at once."""
        backers = [backer for backer in self.backers.values() if not backer.is_restoring]
        return {
            fd: partial(backer.take_packets, fd)
            for backer in backers
            for fd in backer.dpif.poll_fds()
        }

    def set_tunnel_source_ports(self, low: int, high: int) -> None:
        """Which UDP ports tunnels send from, of all data paths that there are and will be."""
        self._source_ports = (low, high)
        for backer in self.backers.values():
            backer.dpif.source_ports = self._source_ports

    def in_use(self) -> list[Backer]:
        """Those that have bridges."""
        return [backer for backer in self.backers.values() if backer.bridges]

    def memory(self) -> dict[str, int]:
        """Counts for `memory/show`."""
        backers = self.backers.values()
        tables = [
            table for b in backers for bridge in b.bridges.values() for table in bridge.tables
        ]
        return {
            # Open vSwitch has threads for each type of data path; here one does their work.
            "handlers": len(backers),
            "revalidators": len(backers),
            "rules": sum(len(table.classifier) for table in tables),
            "udpif keys": sum(b.dpif.stats().flows for b in backers),
        }

    def dpifs(self) -> list[Dpif]:
        """All data paths, those that no bridge uses too, by name."""
        found = [backer.dpif for backer in self.backers.values()]
        return sorted([*found, *self.spare.dpifs], key=full_name)

    def leave(self) -> None:
        """The daemon ends, and the kernel data path with its ports goes on without it."""
        if self._kernel is not None and self._linux is not None:
            self._kernel.leave()
            self._linux.leave()

    def close(self) -> None:
        self.spare.close()
        for backer in self.backers.values():
            backer.close()
        self.backers.clear()
        for device in self._own_devices.values():
            device.close()
        self._own_devices.clear()

    # -- inside --------------------------------------------------------------------------

    def _backer(self, datapath_type: str) -> Backer:
        backer = self.backers.get(datapath_type)
        if backer is None:
            name = f"{datapath_type}@ovs-{datapath_type}"
            dpif = self._make_dpif(datapath_type, name)
            dpif.source_ports = self._source_ports
            self._add_local_port(dpif)
            backer = self.backers[datapath_type] = Backer(
                datapath_type, dpif, self._loop.clock, self._counters, self.underlay
            )
            backer.export_host = self._export_host
            if self._linux is not None and dpif is self._kernel:
                backer.uplinks.host = self._linux.uplink_host()
            self._limit(backer)
            # In user space keys have the tags that are read, in the kernel those that there can be.
            n_vlans = MAX_VLANS if datapath_type == "system" else self._limits.n_vlans
            backer.features.found_vlans(n_vlans)
            for text in backer.features.probed():
                get_logger("ofproto_dpif").info("%s: %s", name, text)
        return backer

    def _make_dpif(self, datapath_type: str, name: str) -> Dpif:
        if datapath_type == "system" and self._linux is not None:
            if os.environ.get(CHOICE) == "userspace":
                log.info("%s: processing packets in user space, as asked for", name)
                forget(paths.rundir(), self._mounts)
            elif (kernel := self._make_kernel_dpif(name)) is not None:
                return kernel
        clock, counters = self._loop.clock, self._counters
        dpif = PollingDpif(datapath_type, name, clock, counters, self._cores, self.offload)
        dpif.is_dummy = self._is_dummy(datapath_type)
        return dpif

    def _is_dummy(self, datapath_type: str) -> bool:
        """Is it the data path for tests, or does that take the place of this type?"""
        return datapath_type == "dummy" or self._dummy in ("override", datapath_type)

    def _make_kernel_dpif(self, name: str) -> EbpfDpif | None:
        assert self._linux is not None
        try:
            pins = PinDirectory(paths.rundir(), self._mounts)
            dpif = EbpfDpif("system", name, self._loop.clock, self._counters, pins)
        except Unsupported as error:
            self._shortfall = f"no kernel data path: {error}"
            log.warn("%s: %s; processing packets in user space", name, self._shortfall)
            # What an earlier daemon left would send each packet a second time.
            forget(paths.rundir(), self._mounts)
            return None
        self._linux.use_kernel_ports(paths.rundir())
        self._kernel = dpif
        return dpif

    def _add_local_port(self, dpif: Dpif) -> None:
        """Port 0, `ovs-netdev` and the like: no bridge's, but there in every data path of Open
        vSwitch, so that its number and its name are never somebody else's."""
        name = f"ovs-{dpif.type}"
        try:
            device = self._devices.open(name, self.device_type(dpif.type, "internal"), {})
        except ConfigError as error:
            log.warn("%s: no local port: %s", dpif.name, error)
            return
        self._own_devices[dpif.type] = device
        dpif.port_add(device, LOCAL_PORT)
