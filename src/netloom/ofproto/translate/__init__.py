"""Translation: from a packet's key, through a bridge's OpenFlow tables, to data-path actions.

    result = translate(bridge, key, now_ms)
    dpif.flow_put(key & result.mask, result.mask, result.actions)

**What must hold.** Any packet whose key agrees with `key` on `result.mask` is translated to the
same actions, as long as tables, ports and MAC tables stay as they are. So whatever the translation
looks at, it adds to the mask ("un-wildcards"): the bits that a classifier's lookup depended on,
fields that actions read or set, addresses and VLAN that NORMAL consults.

**How.** One `Context` walks the tables. It holds the key as actions have changed it and, beside it,
the key that the packet in the data path has after the actions emitted so far (`base`). Header
changes only change the key; at an output, `commit` emits what is needed to make `base` equal to it.
So a field that is set twice, or set and never sent, costs nothing.

Every action has one handler, found by its class in `handlers`. `recorder` (see `record`) writes
down what happens for ofproto/trace; without one the same code runs. With `side_effects` NORMAL
learns.

`result.credits` are whom the packets of the flow count for: rules, MAC entries, patch ports.

**Limits.** Depth and number of resubmits and the size of the result are bounded (`context`); a
packet that exceeds them is dropped whole, with a reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netloom.datapath.actions import DropReason
from netloom.datapath.drop_reasons import drop_number
from netloom.flow.key import RECIRC_ID_SHIFT as _RECIRC_ID_SHIFT
from netloom.ofproto.recirculations import FrozenState
from netloom.ofproto.translate.clone import run_as_clone
from netloom.ofproto.translate.context import Context, Translated
from netloom.ofproto.translate.entry import cancel, enter
from netloom.ofproto.translate.finish import finish
from netloom.ofproto.translate.freeze import finish_freezing, thaw
from netloom.ofproto.translate.handlers import run_action_set, run_actions
from netloom.ofproto.translate.in_band import save_dhcp_reply
from netloom.ofproto.translate.learn import perform as perform_learning
from netloom.ofproto.translate.mirror import mirror, mirror_entering
from netloom.ofproto.translate.normal import normal
from netloom.ofproto.translate.record import Recorder
from netloom.ofproto.translate.sampling import begin_sampling, finish_sampling, sample_entering
from netloom.ofproto.translate.tables import enter_table
from netloom.ofproto.translate.tunnel import begin as begin_tunnel
from netloom.ofproto.translate.underlay import receive
from netloom.openflow.actions import Actions

if TYPE_CHECKING:
    from netloom.ofproto.bridge import Ofproto
    from netloom.ofproto.translate.walk_log import WalkLog

__all__ = ["NO_CONTEXT", "Context", "Recorder", "Translated", "translate"]


class _Walk:
    """See `context.Walk`."""

    enter_table = staticmethod(enter_table)
    run_actions = staticmethod(run_actions)
    run_action_set = staticmethod(run_action_set)
    run_as_clone = staticmethod(run_as_clone)
    finish_freezing = staticmethod(finish_freezing)
    normal = staticmethod(normal)
    mirror = staticmethod(mirror)
    mirror_entering = staticmethod(mirror_entering)
    sample_entering = staticmethod(sample_entering)


_WALK = _Walk()
_NOT_FORWARDED = drop_number("Forwarding is disabled")
#: The error of a packet that comes back to what is forgotten.
NO_CONTEXT = "No recirculation context"


def translate(
    bridge: Ofproto,
    key: int,
    now_ms: int,
    *,
    actions: Actions | None = None,
    state: FrozenState | None = None,
    has_packet: bool = True,
    recorder: Recorder | None = None,
    side_effects: bool = True,
    packet: bytes = b"",
    log: WalkLog | None = None,
) -> Translated:
    """What `bridge` does with a packet of `key` (whose in_port is an OpenFlow port number): its
    tables from 0 on, or `actions` (a packet-out), or what is left of a frozen `state` (that of the
    key's recirc_id, if it has one). `has_packet`: there is a packet, not only its key;
    `packet`, if given, is that packet, for those who learn from more than keys tell. `log` gets
    what was done; the mask lacks what is in there, then."""
    bridge.backer.events.translated.add()
    context = Context(bridge, key, now_ms, recorder, side_effects, _WALK, log)
    context.has_packet = has_packet
    context.packet = packet
    begin_tunnel(context)
    context.begin_bridge(bridge)
    recirc_id = key >> _RECIRC_ID_SHIFT & 0xFFFFFFFF
    if bridge.exporters is not None:
        begin_sampling(context, bridge.exporters, is_new=state is None and not recirc_id)
    if recirc_id and state is None:
        state = bridge.backer.recirculations.find(recirc_id)
        if state is None:
            context.fail(NO_CONTEXT, f"Recirculation context not found for ID {recirc_id:x}")
            return finish(context)
    if state is not None and actions is not None:
        # Open vSwitch cannot go on with a traced packet-out, and says so.
        if recorder is not None:
            recorder.enter("thaw", "thaw")
        context.fail("Recirculation conflict", "Recirculation conflict (actions)!")
        context.end()
    elif state is not None:
        if not thaw(context, state):
            return finish(context)
        if state.actions:
            context.has_begun = True
            run_actions(context, state.actions)
        else:
            enter_table(context, state.table_id, is_entry=True)
    else:
        _begin(context, actions)
    _cancel_if_blocked(context)
    if context.freeze is None:
        run_action_set(context)
    if context.freeze is not None and not context.error:
        finish_freezing(context)
    elif bridge.connections.in_band.is_active and not context.error:
        save_dhcp_reply(context)
    if context.sampling is not None:
        finish_sampling(context)
    if side_effects and not context.error:
        perform_learning(context)
    return finish(context)


def _cancel_if_blocked(context: Context) -> None:
    """A port that does not forward lets packets be looked at, and sampled, at most."""
    port = context.first_bridge.ports_by_number.get(context.in_port)
    if port is not None and not port.forwards:
        cancel(context, context.sampling.n_actions if context.sampling is not None else 0)
        if port.learns:
            context.emit(DropReason(_NOT_FORWARDED))


def _begin(context: Context, actions: Actions | None) -> None:
    """The packet has come in, or is that of a packet-out."""
    if actions is not None:
        context.has_begun = True
        # Open vSwitch tells no reason of its own in a trace.
        context.in_packet_out = context.recorder is None
        if enter(context):
            run_actions(context, actions)
    elif context.bridge.is_uplink:
        receive(context)
    else:
        enter_table(context, 0, is_entry=True)
