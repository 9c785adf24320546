"""Samples for those who export what they see: sFlow, IPFIX, and the action `sample`.

The sampling is the data path's. A packet that has come in is sampled for sFlow and for IPFIX by
actions before all others, and for IPFIX once more before each output (`sample_leaving`). What sFlow
is told of where a packet went is known when the translation is done: its action is made then.

`sample` sends one of so many packets to the collectors of a set (IPFIX by flow). What it sends up
carries the set and the observation's ids. A set with a group for this machine (local sampling) has
them shown on the kernel's psample channel, besides or instead. A bridge that exports nothing has no
use for samples, and then there is no action for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netloom.base.record import replace
from netloom.datapath import actions as dp
from netloom.datapath.drop_reasons import drop_number
from netloom.flow import ports as reserved
from netloom.flow.fields import SLOT
from netloom.flow.key import TUNNEL_MASK
from netloom.ofproto.export_sflow import Leaving
from netloom.ofproto.translate import tunnel
from netloom.ofproto.translate.commit import commit
from netloom.ofproto.translate.context import Context
from netloom.ofproto.translate.sample_leaving import (
    NO_PORT,
    TOLD_TUNNELS,
    Sampling,
    emit_sample,
    make_sample,
    outer_header,
)
from netloom.openflow import actions as a
from netloom.telemetry.sflow_format import MANY_OUTPUTS, NO_OUTPUT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netloom.ofproto.export_ipfix import IpfixExport
    from netloom.ofproto.exporters import Exporters
    from netloom.ofproto.ports import OfPort

_DIRECTIONS: Final = ("", "ingress", "egress")
#: Kinds of upcalls for exporters, and those that want to know of drops.
_OBSERVED: Final = frozenset({"ipfix", "flow_sample"})
_SAMPLES: Final = _OBSERVED | {"sflow"}
_VLAN_TCI: Final = SLOT["vlan_tci"]


def begin_sampling(context: Context, exporters: Exporters, *, is_new: bool) -> None:
    """A translation begins on a bridge that exports. `is_new`: of a packet that was not here
    before."""
    context.cannot_repeat()
    if exporters.netflow is not None:
        context.mask |= exporters.netflow.mask_of(context.first_key)
    if not is_new:
        return
    context.sampling = sampling = Sampling()
    if exporters.netflow is not None:
        sampling.credit = exporters.netflow.credit_for(context.first_key)
        if sampling.credit is not None:
            context.credits.append(sampling.credit)


def sample_entering(context: Context) -> None:
    """Have packets that come in seen by the bridge's sFlow agent and IPFIX exporter."""
    sampling, bridge = context.sampling, context.bridge
    assert sampling is not None
    exporters = bridge.exporters
    if exporters is None or context.in_port == reserved.NONE:
        return
    if exporters.sflow is not None and exporters.sflow.probability:
        sampling.at = len(context.actions)
        # A place for what `finish_sampling` makes.
        context.emit(dp.Userspace("sflow"))
    ipfix = exporters.ipfix
    if ipfix is not None and ipfix.input_probability:
        upcall = dp.Userspace("ipfix", (NO_PORT, bridge.name, -1, 0, False))
        emit_sample(context, ipfix.input_probability, upcall)
    sampling.n_actions = len(context.actions)


def finish_sampling(context: Context) -> None:
    """The translation is done: it is known where the packet goes."""
    sampling = context.sampling
    assert sampling is not None
    if sampling.credit is not None:
        sampling.credit.output = sampling.output
    if context.error:
        return
    if sampling.is_observed and not _leaves(context.actions):
        context.actions[:] = map(_told_dropped, context.actions)
    if sampling.at >= 0:
        _finish_sflow(context, sampling)
    if context.bridge.backer.explicit_sampled_drops and _only_samples(context.actions):
        context.emit(dp.DropReason(drop_number("")))


def _only_samples(actions: Sequence[dp.DpAction]) -> bool:
    """Are packets shown to exporters, and nothing else?"""
    return bool(actions) and all(
        _only_samples(action.actions)
        if isinstance(action, dp.Sample)
        else isinstance(action, dp.Meter | dp.Psample)
        or (isinstance(action, dp.Userspace) and action.kind in _SAMPLES)
        for action in actions
    )


def _leaves(actions: Sequence[dp.DpAction]) -> bool:
    """Do packets go anywhere?"""
    return any(
        isinstance(action, dp.Output | dp.LbOutput | dp.TunnelPop)
        or (isinstance(action, dp.Clone) and _leaves(action.actions))
        for action in actions
    )


def _told_dropped(action: dp.DpAction) -> dp.DpAction:
    """The action, which tells exporters that packets go nowhere."""
    if isinstance(action, dp.Userspace) and action.kind in _OBSERVED:
        return replace(action, cookie=(*action.cookie[:-1], True))
    if isinstance(action, dp.Sample | dp.Clone):
        return replace(action, actions=tuple(map(_told_dropped, action.actions)))
    return action


def _finish_sflow(context: Context, sampling: Sampling) -> None:
    bridge = context.first_bridge
    assert bridge.exporters is not None
    sflow = bridge.exporters.sflow
    assert sflow is not None
    output = 0
    if sampling.n_outputs == 1 and sampling.port is not None:
        output = sflow.interface_of(sampling.port)
    if not output:
        output = MANY_OUTPUTS | sampling.n_outputs if sampling.n_outputs else NO_OUTPUT
    tci = _VLAN_TCI.get(context.base)
    actions = context.actions
    leaving = Leaving.of(actions, sampling.port)
    cookie = (tci & 0xFFF, tci >> 13 & 7, output, bridge.name, leaving)
    upcall = dp.Userspace("sflow", cookie, with_actions=True)
    actions[sampling.at] = make_sample(bridge, sflow.probability, upcall)


def sample(context: Context, action: a.Sample) -> None:
    """The action `sample`."""
    domain, point = _number(context, action.obs_domain_id), _number(context, action.obs_point_id)
    exporters = context.bridge.exporters
    if exporters is None or context.in_port == reserved.NONE:
        return
    upcall = shown = None
    if exporters.ipfix is not None:
        upcall = _flow_sample(context, exporters.ipfix, action, domain, point)
        if upcall is None:
            return
    group = exporters.local_group(action.collector_set_id)
    if group is not None:
        shown = dp.Psample(group, (domain << 32 | point).to_bytes(8, "big"))
    if upcall is not None or shown is not None:
        emit_sample(context, action.probability << 16 | action.probability, upcall, shown)


def _flow_sample(
    context: Context, ipfix: IpfixExport, action: a.Sample, domain: int, point: int
) -> dp.Userspace | None:
    """The upcall of a sample for IPFIX; None if the action is wrong, which is told."""
    bridge = context.bridge
    number, outside = NO_PORT, None
    if action.sampling_port not in (reserved.ANY, context.in_port):
        port = bridge.ports_by_number.get(action.sampling_port)
        if port is None or port.dp_port < 0:
            context.report_error(
                f"can't use unknown port {action.sampling_port} in flow sample action"
            )
            return None
        number = port.dp_port
        if port.settings.type in TOLD_TUNNELS and ipfix.set_samples_tunnels(
            action.collector_set_id
        ):
            outside = port
    commit(context)
    header = _tell_tunnel(context, outside) if outside is not None else 0
    return dp.Userspace(
        "flow_sample",
        (action.probability, action.collector_set_id, domain, point, number,
         _DIRECTIONS[action.direction], bridge.name, action.sampling_port, header, False),
        tunnel_out_port=number if outside is not None else -1,
    )  # fmt: skip


def _tell_tunnel(context: Context, port: OfPort) -> int:
    """Have the data path know the outer header that packets get at `port`, which is returned."""
    if port.tunnel is None:
        context.report_error(f"sampling_port:{port.number} should be a tunnel port.")
        return 0
    before = context.key & TUNNEL_MASK
    tunnel.send(context, port.tunnel.config)
    header = outer_header(context)
    if not context.bridge.backer.pushes_tunnels:
        tunnel.commit_tunnel(context, port.tunnel.config)
        context.key = context.key & ~TUNNEL_MASK | before
    return header


def _number(context: Context, what: a.Subfield | int) -> int:
    """An id of the observation: given, or what the packet has in a field."""
    if isinstance(what, int):
        return what
    ones = (1 << what.n_bits) - 1
    shift = what.field.shift + what.offset
    context.mask |= ones << shift
    return context.key >> shift & ones
