"""Flow mods, packet-outs and port mods: what is checked before they are carried out.

The checks come in two parts: of the message alone, and of what it names (groups, meters), which a
bundle may create just before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from netloom.base.record import replace
from netloom.flow import ports
from netloom.flow.extract import extract_key
from netloom.flow.fields import KEY_MASK, SLOT, TUN_PRESENT_SHIFT
from netloom.flow.match import Match
from netloom.ofproto.rules import Rule
from netloom.ofproto.sessions import Session
from netloom.ofproto.translate.handlers import unsupported
from netloom.openflow import actions as a
from netloom.openflow import messages as m
from netloom.openflow.action_check import check_actions
from netloom.openflow.action_nesting import flattened
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.fields_used import fields_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.ofproto.connmgr import ConnectionManager, SwitchSide

    Handler = Callable[[ConnectionManager, Session, Any, int], Iterable[m.Message]]

_N_TABLES: Final = 255
#: Matches with greater masks are on tunnel options.
_FIRST_OPTION: Final = 1 << TUN_PRESENT_SHIFT
#: The answers to actions that cannot be done, where that is not OFPBAC_BAD_TYPE.
_ANSWERS: dict[type[a.Action], str] = {
    a.Group: "OFPBAC_BAD_OUT_GROUP",
    a.Meter: "OFPMMFC_INVALID_METER",
}


def check_flow_mod(
    manager: ConnectionManager, session: Session, mod: m.FlowMod, simple: bool
) -> m.FlowMod:
    """Refuses what is wrong with the message alone; returns it as it is to be carried out.
    `simple`: its actions are (`is_simple`)."""
    if mod.match.mask >= _FIRST_OPTION:
        mod = replace(mod, match=manager.switch.tlv_table.adopt(mod.match))
    if not simple:
        actions = manager.switch.tlv_table.adopt_actions(mod.actions)
        if actions is not mod.actions:
            mod = replace(mod, actions=actions)
    if mod.flags & m.OFPFF_EMERG and not (mod.idle_timeout or mod.hard_timeout):
        # There is no table for emergencies: it is full.
        raise OpenFlowError("OFPFMFC_TABLE_FULL")
    if not simple and mod.command <= m.OFPFC_MODIFY_STRICT:
        allowed = check_actions(
            mod.actions, mod.match, max_port=ports.MAX, table_id=mod.table_id, n_tables=_N_TABLES
        )
        if not allowed & session.peer.protocol:
            raise OpenFlowError("OFPBAC_MATCH_INCONSISTENT")
        _check_possible(mod.actions)
    manager.switch.tables.check_writable(mod)
    match = mod.match
    if mod.command == m.OFPFC_ADD and (match.value & _RECIRC_ID or match.mask & _DP_HASH):
        raise OpenFlowError("OFPBRC_EPERM")
    # Who deletes has no packet to send: many controllers leave a 0 there.
    if mod.buffer_id != m.NO_BUFFER and mod.command <= m.OFPFC_MODIFY_STRICT:
        raise OpenFlowError("OFPBRC_BUFFER_UNKNOWN")
    return mod


#: What only flows that the switch makes for itself match.
_RECIRC_ID = SLOT["recirc_id"].mask
_DP_HASH = SLOT["dp_hash"].mask


def is_simple(actions: a.Actions) -> bool:
    """Nothing but one output to a port or to controllers, as most flows have, or nothing."""
    if len(actions) != 1:
        return not actions
    action = actions[0]
    if type(action) is not a.Output:
        return False
    return 0 < action.port < ports.MAX or action.port == ports.CONTROLLER


def check_packet_out(session: Session, message: m.PacketOut, simple: bool) -> None:
    """Refuses what is wrong with the message alone. `simple`: its actions are."""
    if message.buffer_id != m.NO_BUFFER:
        raise OpenFlowError("OFPBRC_BUFFER_UNKNOWN")
    if simple:
        return
    # What the actions need need not be said: the packet is there to look at.
    packet = Match(extract_key(message.packet, metadata=message.match.value), KEY_MASK)
    allowed = check_actions(message.actions, packet, max_port=ports.MAX, n_tables=_N_TABLES)
    if not allowed & session.peer.protocol:
        raise OpenFlowError("OFPBAC_MATCH_INCONSISTENT")
    _check_possible(message.actions)


def _check_possible(actions: a.Actions) -> None:
    """Refuses what the translation cannot do, before it is in a table."""
    for action in actions:
        impossible = unsupported(action)
        if impossible is not None:
            raise OpenFlowError(_ANSWERS.get(type(impossible), "OFPBAC_BAD_TYPE"))


def check_presence(switch: SwitchSide, actions: a.Actions) -> None:
    """Refuses actions that name a group or a meter that is not there."""
    for action in flattened(actions):
        if isinstance(action, a.Group):
            if switch.groups.get(action.group_id) is None:
                raise OpenFlowError("OFPBAC_BAD_OUT_GROUP")
        elif isinstance(action, a.Meter) and switch.meters.get(action.meter_id) is None:
            raise OpenFlowError("OFPMMFC_INVALID_METER")


def uses_fields(rule: Rule, bits: int) -> bool:
    """Does a rule match on fields, or name fields in its actions, that have some of `bits`?"""
    return bool(rule.match.mask & bits) or any(
        field.mask & bits for action in flattened(rule.actions) for field in fields_of(action)
    )


def _flow_mod(
    manager: ConnectionManager, session: Session, mod: m.FlowMod, now_ms: int
) -> tuple[m.Message, ...]:
    simple = is_simple(mod.actions)
    mod = check_flow_mod(manager, session, mod, simple)
    if not simple and mod.command <= m.OFPFC_MODIFY_STRICT:
        check_presence(manager.switch, mod.actions)
    starts_anew = session.peer.version < m.OFP12_VERSION
    changes = manager.tables.apply(mod, now_ms, starts_anew=starts_anew)
    manager.flows_changed(changes, now_ms)
    session.flow_mods.note(mod.command, now_ms)
    return ()


def _packet_out(
    manager: ConnectionManager, session: Session, message: m.PacketOut, now_ms: int
) -> tuple[m.Message, ...]:
    simple = is_simple(message.actions)
    check_packet_out(session, message, simple)
    if not simple:
        check_presence(manager.switch, message.actions)
    manager.switch.packet_out(message, now_ms)
    return ()


def _port_mod(
    manager: ConnectionManager, session: Session, mod: m.PortMod, now_ms: int
) -> tuple[m.Message, ...]:
    manager.switch.port_mod(mod)
    return ()


HANDLERS: dict[type[m.Message], Handler] = {
    m.FlowMod: _flow_mod,
    m.PacketOut: _packet_out,
    m.PortMod: _port_mod,
}
