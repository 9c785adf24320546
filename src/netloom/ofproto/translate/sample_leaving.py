"""Samples as actions of the data path: how one is made, and those of packets that leave (IPFIX)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netloom.datapath import actions as dp
from netloom.flow.fields import SLOT
from netloom.flow.key import TUNNEL_MASK
from netloom.flow.mapped import ipv4_of, is_ipv4
from netloom.ofproto.tunnels import tunnel_dst, tunnel_src
from netloom.openflow.messages_meters import OFPM_SLOWPATH
from netloom.telemetry.netflow import FLOOD, MULTIPLE, NOWHERE

if TYPE_CHECKING:
    from netloom.ofproto.bridge import Ofproto
    from netloom.ofproto.export_netflow import NetflowCredit
    from netloom.ofproto.ports import OfPort
    from netloom.ofproto.translate.context import Context


class Sampling:
    """What one translation notes for the exporters of the bridge where the packet came in: where
    sFlow's action stands, how many there are for packets that come in, and where it went."""

    __slots__ = ("at", "credit", "is_observed", "n_actions", "n_outputs", "output", "port")

    def __init__(self) -> None:
        self.at = -1
        #: An IPFIX exporter sees packets of this flow.
        self.is_observed = False
        self.n_actions = self.n_outputs = 0
        self.port: OfPort | None = None
        #: As NetFlow calls it.
        self.output = NOWHERE
        self.credit: NetflowCredit | None = None

    def note(self, port: OfPort) -> None:
        """The packet leaves by a port."""
        self.n_outputs += 1
        self.port = port
        self.output = port.number & 0xFFFF

    def begin_output(self) -> int:
        """An output action begins; `end_output` takes what is returned."""
        before, self.output = self.output, NOWHERE
        return before

    def end_output(self, before: int) -> None:
        if before == FLOOD:
            self.output = FLOOD
        elif self.output == NOWHERE:
            self.output = before
        elif before != NOWHERE and self.output != FLOOD:
            self.output = MULTIPLE


_TUN_SRC: Final = SLOT["tun_src"]
#: Tunnels whose outer headers IPFIX has a place for, real or dummies.
TOLD_TUNNELS: Final = frozenset({"gre", "vxlan", "geneve"})
#: All packets.
ALWAYS: Final = 0xFFFFFFFF
#: In place of a port of the data path.
NO_PORT: Final = 0xFFFFFFFF


def make_sample(
    bridge: Ofproto,
    probability: int,
    upcall: dp.Userspace | None,
    shown: dp.Psample | None = None,
) -> dp.DpAction:
    """Have packets come up with a probability of so many in 2**32, by way of the meter for what is
    handled slowly, if there is one; or be `shown` on this machine, or both."""
    actions: list[dp.DpAction] = [] if shown is None else [shown]
    if upcall is not None:
        meter = bridge.meters.get(OFPM_SLOWPATH)
        if meter is not None:
            return dp.Sample(probability, (*actions, dp.Meter(meter.dp_meter), upcall))
        actions.append(upcall)
    if probability == ALWAYS and len(actions) == 1:
        return actions[0]
    return dp.Sample(probability, tuple(actions))


def emit_sample(
    context: Context,
    probability: int,
    upcall: dp.Userspace | None,
    shown: dp.Psample | None = None,
) -> None:
    """Have packets come up for an IPFIX exporter, which wants to know what becomes of them, or be
    `shown` on this machine."""
    if context.sampling is None:
        context.sampling = Sampling()
    context.sampling.is_observed = True
    context.emit(make_sample(context.bridge, probability, upcall, shown))


def sample_leaving(context: Context, port: OfPort) -> None:
    """The packet leaves by `port`: have the bridge's IPFIX exporter see it, if it wants to."""
    context.cannot_repeat()
    exporters = context.bridge.exporters
    ipfix = exporters.ipfix if exporters is not None else None
    if ipfix is None or not ipfix.output_probability:
        return
    is_tunnel = ipfix.samples_tunnels and port.settings.type in TOLD_TUNNELS
    upcall = dp.Userspace(
        "ipfix",
        (port.dp_port, context.bridge.name, port.number,
         outer_header(context) if is_tunnel else 0, False),
        tunnel_out_port=port.dp_port if is_tunnel else -1,
    )  # fmt: skip
    emit_sample(context, ipfix.output_probability, upcall)


def outer_header(context: Context) -> int:
    """The tunnel's fields of a packet that leaves by a tunnel, in key layout; the route says what
    its source is, if nobody else does."""
    header = context.key & TUNNEL_MASK
    if not tunnel_src(header) and (outer_dst := tunnel_dst(header)):
        route = context.bridge.backer.underlay.routes.lookup(outer_dst)
        if route is not None and is_ipv4(route.source):
            header = _TUN_SRC.put(header, ipv4_of(route.source))
    return header
