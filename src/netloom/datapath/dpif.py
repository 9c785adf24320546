"""The interface of a data path: all that `ofproto` knows of what carries packets.

A data path has *ports* (each a device, numbered), and *flows* (key, mask, actions, statistics). A
packet that comes in at a port is parsed into a key (`flow.fields`); the flow that matches runs
its actions; without one the packet comes up as an *upcall*. `ofproto` translates it, usually
installs a flow, and executes the actions on the packet by hand.

What must hold, in every implementation:

* Flows never overlap in a way that matters: two flows that match the same packet have the same
  actions, for `ofproto` derives them from the same tables. So there are no priorities here.
* `flow_put` takes effect for the next packet that is received. Statistics are exact: each packet
  is counted by one flow and by its ports.
* Nothing raises because of a packet. What cannot be done is counted as a drop with its reason.
* A device that vanishes takes its port's traffic with it, not the port: `ofproto` removes ports.
* Data travels up by polling: `recv_upcalls()` returns what waits. Nothing calls upwards.

Costs: one call of `flow_put`, `execute` or `recv_upcalls` may be a system call; `*_many` exist so
that implementations can batch. `flow_dump` of 100,000 flows takes well below a second.

Tunnels: all tunnels of a type (with the same UDP port) share one port, whose device is a
`netdev.tunnel.TunnelPort`. A packet that came through a tunnel has that port as in_port and the
tunnel's fields in its key: tun_src and tun_dst (or tun_ipv6_*), tun_id, tun_tos, tun_ttl,
tun_tp_src, tun_tp_dst, tun_flags (1 oam, 2 don't fragment, 4 csum, 8 key), group policy, ERSPAN and
GTP-U words. Geneve options are raw: the bytes from the start of the slot `tun_opts`,
their number in `tun_opt_present`. A key without tun_dst and tun_ipv6_dst came through none.

`in_port` in keys and actions is a data-path port number (`DpPort.number`). A key's `recirc_id` is 0
for packets from ports. Masks of flows always include in_port, recirc_id and dl_type.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NewType, Protocol

from netloom.base.record import Record
from netloom.datapath.actions import DpActions
from netloom.datapath.bonds import Bonds
from netloom.datapath.conntrack import Conntrack
from netloom.datapath.meters import DpMeter, DpMeterFeatures, DpMeterStats
from netloom.datapath.offload import Hardware
from netloom.datapath.polling import MAIN_THREAD, Polling
from netloom.datapath.switching import Switching
from netloom.datapath.ufid import flow_ufid
from netloom.netdev.device import Device, DeviceStats
from netloom.netdev.qos import Policing
from netloom.packet.offload import Offload

DpPortNo = NewType("DpPortNo", int)

#: The number of the data path's own local port, as Open vSwitch's data paths have it.
LOCAL_PORT: Final = DpPortNo(0)
NO_PORT: Final = DpPortNo(0xFFFFFFFF)


class DpPort(Record):
    """A port of a data path. `type` is what the data path calls the type of its device: system,
    tap, dummy ..., and for an internal port what it makes of it: internal, tap, dummy-internal."""

    number: DpPortNo
    name: str
    type: str
    #: What `dpctl/show` tells of it besides: the options of a tunnel's port.
    options: tuple[tuple[str, str], ...] = ()


class FlowStats(Record):
    """Counters of a flow; `used_ms` is the clock's time of the last packet, 0 for never.
    `tcp_flags` is the union of the flags seen."""

    packets: int = 0
    bytes: int = 0
    used_ms: int = 0
    tcp_flags: int = 0


class Flow(Record):
    """A flow as dumped. `key & mask` and `mask` name it; `key` is whole, as it was put (bits that
    are not matched are shown to people by -m)."""

    key: int
    mask: int
    actions: DpActions
    stats: FlowStats
    #: Who runs the actions: "ovs" is the data path, else the provider of hardware that does.
    layer: str = "ovs"
    #: A device knows the flow, at least.
    is_offloaded: bool = False

    @property
    def ufid(self) -> int:
        """Its id for people and tools, which only key and mask decide."""
        return flow_ufid(self.key & self.mask, self.mask)


class UsedFlow(Protocol):
    """A flow with its counters, as `FlowStats` has them."""

    key: int
    mask: int
    packets: int
    bytes: int
    used_ms: int
    tcp_flags: int


class Upcall:
    """A packet that came up. `kind` is "miss", "adopt" (no packet: a flow from before this process
    whose actions are asked for) or the `kind` of the Userspace action that sent it;
    `cookie` is that action's. `key` is the full key of the packet, as parsed; `packet` starts at
    the Ethernet header. `offload` is what its sender left undone: who shows the packet to somebody
    does it first (`packet.offload.finish_offload`). `thread` is whose packet it was (`polling`)."""

    __slots__ = ("cookie", "key", "kind", "offload", "packet", "thread")

    def __init__(
        self,
        kind: str,
        key: int,
        packet: bytes,
        cookie: tuple[object, ...] = (),
        offload: Offload | None = None,
    ) -> None:
        self.kind = kind
        self.key = key
        self.packet = packet
        self.cookie = cookie
        self.offload = offload
        self.thread = MAIN_THREAD


class DpStats(Record):
    """Lookups that hit and missed, packets lost before they came up, flows now, masks now."""

    hits: int = 0
    misses: int = 0
    lost: int = 0
    flows: int = 0
    masks: int = 0


class UplinkPorts(Protocol):
    """The ports of a data path whose packets stay the host's, but for those of tunnels."""

    def add_uplink(self, device: Device) -> DpPort:
        """Make a device of the host such a port. Raises ConfigError."""

    def listen(self, ends: Iterable[tuple[int, int, int]]) -> None:
        """Take what is for these ends of tunnels: address (`flow.mapped`), protocol, and UDP port,
        0 without one."""


class Dpif(Protocol):
    """One data path. Ports are added by name with a device that the caller opened (`netdev`)."""

    #: "system" or "netdev" (or "dummy"): the `datapath_type` of its bridges.
    type: str
    #: As in `system@ovs-system`: the name that `dpif/show` and `dpctl` use.
    name: str
    #: What `dpctl/dump-flows` prints before the flows; "" for nothing.
    dump_heading: str
    #: Does it run in the kernel? Its flows are shown as those of Open vSwitch's module are.
    in_kernel: bool
    #: Does it put on and take off tunnels' headers as it is told (`TunnelPush`, `TunnelPop`)? If
    #: not, it is sent packets with the tunnel's fields set (`Set("tunnel", ...)`) and does the rest
    #: by itself, routes and neighbours too.
    pushes_tunnels: bool
    #: None: it takes all packets of its devices.
    uplinks: UplinkPorts | None
    #: None: one thread does everything.
    polling: Polling | None
    #: Is a flow that `ofproto` does not know one that a person has put there?
    has_strangers: bool
    #: The range of UDP source ports of tunnels' packets.
    source_ports: tuple[int, int]
    #: How many tags of a packet its key has, at most.
    vlan_limit: int

    def kernel_features(self) -> tuple[tuple[str, bool], ...]:
        """What of the kernel it uses: title, and is it there?"""

    @property
    def hardware(self) -> Hardware | None:
        """The hardware of its devices; None if there is none that could run flows."""

    #: The switches that it runs by itself; None if it runs none.
    switching: Switching | None

    @property
    def bonds(self) -> Bonds | None:
        """The bonds that it spreads packets over by itself; None if it does not."""

    @property
    def conntrack(self) -> Conntrack | None:
        """The connections it tracks; None if its tracker is not ours to look into."""

    def port_add(self, device: Device, number: DpPortNo | None = None) -> DpPort:
        """Add an open device as port; picks the number if None is given or it is taken.

        Raises ConfigError when the name is in use or the device cannot be a port here."""

    def port_del(self, number: DpPortNo) -> None: ...

    def ports(self) -> list[DpPort]: ...

    def port_stats(self, number: DpPortNo) -> DeviceStats: ...

    def flow_put(self, key: int, mask: int, actions: DpActions) -> None:
        """Install a flow, or replace the actions of the flow with this key and mask, keeping its
        statistics."""

    def flow_del(self, key: int, mask: int) -> Flow | None:
        """Remove the flow and return it with its final statistics."""

    def flow_get(self, key: int, mask: int) -> Flow | None:
        """The flow with this key and mask, as dumped."""

    def flow_dump(self) -> Iterator[Flow]:
        """All flows; flows put or deleted meanwhile may or may not be seen."""

    def flow_flush(self) -> None: ...

    def take_used(self) -> tuple[Sequence[UsedFlow], int] | None:
        """The flows that have carried packets since the last call (of those that are still there),
        and a number that grows by one with each flow added or removed; None if only a dump tells
        these."""

    def execute(
        self,
        packet: bytes,
        key: int,
        actions: DpActions,
        offload: Offload | None = None,
        from_upcall: bool = False,
    ) -> None:
        """Run `actions` on `packet`, whose metadata (in_port, tunnel, conntrack) is in `key`. If
        both are those of an upcall, what leaves may wait for `flush`."""

    def flush(self) -> None:
        """Send what waits to leave."""

    def meter_features(self) -> DpMeterFeatures: ...

    def meter_set(self, number: int, config: DpMeter) -> None:
        """Make a meter, or make it anew with other bands; its counts start from 0."""

    def meter_del(self, number: int) -> DpMeterStats | None:
        """Remove a meter and return its last counts; None if there is none."""

    def meter_stats(self, number: int) -> DpMeterStats | None: ...

    def queue_priority(self, queue: int) -> int | None:
        """The priority (`skb_priority`) that sends a packet to that queue of a port; None if there
        is no such queue."""

    def set_policing(self, number: DpPortNo, policing: Policing) -> None:
        """How much may come in at a port: what is more is dropped."""

    def n_policed(self, number: DpPortNo) -> int:
        """Packets that were too much."""

    def recv_upcalls(self, limit: int) -> list[Upcall]:
        """Up to `limit` packets that came up since the last call, oldest first."""

    def earlier_recirc_ids(self) -> frozenset[int]:
        """Numbers of recirculations that flows of before this process still use."""

    def earlier_next_hops(self) -> Sequence[tuple[int, int]]:
        """Where flows of before this process send tunnels' packets: (outer destination, mapped;
        Ethernet address)."""

    def stats(self) -> DpStats: ...

    def run(self, now_ms: int) -> bool:
        """Receive and process what waits on the ports, a bounded batch. True if more may wait."""

    def poll_fds(self) -> list[int]:
        """File descriptors whose readability means that `run` has work."""

    def note_readable(self, fd: int) -> None:
        """One of these is readable. From the first call on, the next `run` may leave out devices of
        which that was not said."""

    def close(self) -> None: ...


def full_name(dpif: Dpif) -> str:
    """`system@ovs-system`"""
    return dpif.name if "@" in dpif.name else f"{dpif.type}@{dpif.name}"
