"""Whether a list of actions makes sense for the packets that its flow matches.

OpenFlow 1.1 and later refuse, for instance, to change the TCP port of what need not be TCP.
OpenFlow 1.0 lets most of that pass (the action then does nothing), which is why `check_actions`
returns the protocols in which the list is allowed. What no version allows is an `OpenFlowError`.

A switch calls this with its limits when it gets a flow mod, `ovs-ofctl` before it sends one.
"""

from __future__ import annotations

from netloom.base.log import get_logger
from netloom.flow.fields import FIELD, SLOT, VLAN_CFI, Field
from netloom.flow.match import Match
from netloom.flow.ports import ANY, IN_PORT, LOCAL, MAX
from netloom.flow.prerequisites import prerequisites_met
from netloom.openflow import action_choice as choice
from netloom.openflow import action_learn as learn
from netloom.openflow import actions as a
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.protocol import P_ANY, P_OF10_ANY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

log: Final = get_logger("ofp_actions")
_field_log: Final = get_logger("meta_flow")

_TCI: Final = SLOT["vlan_tci"]
_DL_TYPE: Final = SLOT["dl_type"]
_PACKET_TYPE: Final = SLOT["packet_type"]
#: Of a packet that nobody knows the type of: a namespace that there is not.
_UNKNOWN_TYPE: Final = 0xF000_0000
_CFI_IN_PLACE: Final = VLAN_CFI << _TCI.shift
_MPLS_TYPES: Final = (0x8847, 0x8848)
_OFPM_MAX: Final = 0xFFFF0000

#: Order in which instructions must stand; anything else is applied.
_ORDER: Final = {
    a.Meter: (0, "meter"),
    a.ClearActions: (2, "clear_actions"),
    a.WriteActions: (3, "write_actions"),
    a.WriteMetadata: (4, "write_metadata"),
    a.GotoTable: (5, "goto_table"),
}
_APPLY: Final = (1, "apply_actions")


def order_fault(actions: tuple[a.Action, ...]) -> str | None:
    """What is wrong with the order of instructions among `actions`, or None."""
    fault = conjunction_fault(actions)
    if fault:
        return fault
    last = (-1, "")
    for action in actions:
        here = _ORDER.get(type(action), _APPLY)
        if here < last:
            return (
                f"invalid instruction ordering: {here[1]} must appear before {last[1]}, "
                "for OpenFlow 1.1+ compatibility"
            )
        if here == last and here != _APPLY:
            return f"duplicate {here[1]} instruction not allowed, for OpenFlow 1.1+ compatibility"
        last = here
    return None


def conjunction_fault(actions: tuple[a.Action, ...]) -> str | None:
    """A flow with `conjunction` has no other actions but notes."""
    for action in actions:
        if type(action) is a.Conjunction:
            break
    else:
        return None
    for action in actions:
        if not isinstance(action, (a.Conjunction, a.Note)):
            return (
                '"conjunction" actions may be used along with "note" but not any other kind of '
                f'action (such as the "{_name(action)}" action used here)'
            )
    return None


def _name(action: a.Action) -> str:
    from netloom.openflow.action_format import legacy_keyword
    from netloom.openflow.names import ACTION_NAMES

    if isinstance(action, a.SetField) and action.legacy:
        return legacy_keyword(action.field)
    return ACTION_NAMES[type(action).__name__]


class _Check:
    """The match as it stands before an action, and what is allowed so far. The match tells of the
    outer VLAN tag only, hence `inner_vlan`: whether one more is known to be behind it."""

    __slots__ = ("inner_vlan", "match", "max_port", "n_tables", "protocols", "table_id")

    def __init__(self, match: Match, max_port: int, table_id: int, n_tables: int) -> None:
        self.match = match
        self.max_port = max_port
        self.table_id = table_id
        self.n_tables = n_tables
        self.protocols = P_ANY
        self.inner_vlan = False

    def inconsistent(self) -> None:
        """Only OpenFlow 1.0 lets this pass."""
        self.protocols &= P_OF10_ANY

    @property
    def dl_type(self) -> int:
        """What the packet's Ethernet type is, or would be in a frame."""
        packet_type = _PACKET_TYPE.get(self.match.value)
        if packet_type >> 16 == 1:
            return packet_type & 0xFFFF
        return _DL_TYPE.get(self.match.value)

    @property
    def has_vlan(self) -> bool:
        return bool(self.match.value & _CFI_IN_PLACE)

    def demand_source(self, part: a.Subfield) -> None:
        self._demand(part.field, "source")

    def demand_destination(self, part: a.Subfield) -> None:
        self._demand(part.field, "destination")
        if not part.field.writable:
            _field_log.warn("destination field %s is not writable", part.field.name)
            raise OpenFlowError("OFPBAC_BAD_SET_ARGUMENT")

    def _demand(self, field: Field, role: str) -> None:
        if not prerequisites_met(field, self.match):
            _field_log.warn("%s field %s lacks correct prerequisites", role, field.name)
            raise OpenFlowError("OFPBAC_MATCH_INCONSISTENT")


def check_actions(
    actions: tuple[a.Action, ...],
    match: Match,
    *,
    max_port: int = MAX,
    table_id: int = 255,
    n_tables: int = 255,
) -> int:
    """Checks `actions` of a flow with `match` in table `table_id` (255: not known) of a switch
    with `n_tables` (255: any) and ports below `max_port`. Returns a set of `protocol.P_*`."""
    fault = order_fault(actions)
    if fault:
        log.warn("%s", fault)
        raise OpenFlowError("OFPBAC_UNSUPPORTED_ORDER")
    check = _Check(match, max_port, table_id, n_tables)
    _check_list(check, actions)
    return check.protocols


def _check_list(check: _Check, actions: tuple[a.Action, ...]) -> None:
    for action in actions:
        function = _CHECKS.get(type(action))
        if function is not None:
            function(check, action)


def _output(c: _Check, action: a.Output | a.OutputTrunc) -> None:
    port = action.port
    if port >= c.max_port and not IN_PORT <= port < ANY:
        raise OpenFlowError("OFPBAC_BAD_OUT_PORT")


def _enqueue(c: _Check, action: a.Enqueue) -> None:
    if action.port >= c.max_port and action.port not in (IN_PORT, LOCAL):
        raise OpenFlowError("OFPBAC_BAD_OUT_PORT")


def _set_field(c: _Check, action: a.SetField) -> None:
    field = action.field
    if action.legacy:
        if field.name == "tcp_src" or field.name == "tcp_dst":
            _set_port(c)
        elif field.name in ("ip_src", "ip_dst"):
            if c.dl_type != 0x0800:
                c.inconsistent()
        elif field.prerequisite == "ip" and not prerequisites_met(field, c.match):
            c.inconsistent()
        return
    lacks_vlan = field.name == "vlan_vid" and not c.has_vlan
    if lacks_vlan or not prerequisites_met(field, c.match):
        log.warn("set_field %s lacks correct prerequisites", field.name)
        raise OpenFlowError("OFPBAC_MATCH_INCONSISTENT")
    if field.name == "vlan_tci" and action.mask & VLAN_CFI:
        _have_vlan(c, bool(action.value & VLAN_CFI))


def _set_port(c: _Check) -> None:
    """`mod_tp_src` and `mod_tp_dst` mean TCP, UDP or SCTP, whatever the match says."""
    proto = SLOT["nw_proto"].get(c.match.value)
    later = SLOT["nw_frag"].get(c.match.value) & 2
    if c.dl_type not in (0x0800, 0x86DD) or proto not in (6, 17, 132) or later:
        c.inconsistent()


def _have_vlan(c: _Check, has: bool) -> None:
    value = c.match.value | _CFI_IN_PLACE if has else c.match.value & ~_TCI.mask
    c.match = Match(value, c.match.mask | _TCI.mask)


def _set_vlan(c: _Check, action: a.SetVlanVid | a.SetVlanPcp) -> None:
    if not c.has_vlan and not action.push:
        c.inconsistent()
    _have_vlan(c, True)


def _strip_vlan(c: _Check, action: a.StripVlan) -> None:
    if not c.has_vlan:
        c.inconsistent()
    _have_vlan(c, c.inner_vlan)
    c.inner_vlan = False


def _push_vlan(c: _Check, action: a.PushVlan) -> None:
    if c.inner_vlan:
        # Two tags are as many as a flow can tell of.
        raise OpenFlowError("OFPBAC_BAD_TAG")
    c.inner_vlan = c.has_vlan
    _have_vlan(c, True)


def _dec_ttl(c: _Check, action: a.DecTtl) -> None:
    if c.dl_type not in (0x0800, 0x86DD):
        c.inconsistent()


def _mpls(c: _Check, action: a.Action) -> None:
    if c.dl_type not in _MPLS_TYPES:
        c.inconsistent()


def _push_mpls(c: _Check, action: a.PushMpls) -> None:
    if _PACKET_TYPE.get(c.match.value) != 0:
        c.inconsistent()
    _become(c, action.ethertype)


def _pop_mpls(c: _Check, action: a.PopMpls) -> None:
    _mpls(c, action)
    _become(c, action.ethertype)


def _become(c: _Check, ethertype: int) -> None:
    """From here on packets have another Ethernet type, and what is behind it is not known."""
    proto = SLOT["nw_proto"].mask
    value = _DL_TYPE.put(c.match.value & ~proto, ethertype)
    c.match = Match(value, c.match.mask & ~proto | _DL_TYPE.mask)


def _move(c: _Check, action: a.Move) -> None:
    c.demand_source(action.source)
    c.demand_destination(action.destination)


def _meter(c: _Check, action: a.Meter) -> None:
    if not 0 < action.meter_id <= _OFPM_MAX:
        raise OpenFlowError("OFPMMFC_INVALID_METER")


def _resubmit(c: _Check, action: a.Resubmit) -> None:
    if action.with_ct and not prerequisites_met(FIELD["ct_nw_src"], c.match):
        raise OpenFlowError("OFPBAC_MATCH_INCONSISTENT")


def _goto(c: _Check, action: a.GotoTable) -> None:
    backwards = c.table_id != 255 and action.table_id <= c.table_id
    if backwards or (c.n_tables != 255 and action.table_id >= c.n_tables):
        raise OpenFlowError("OFPBIC_BAD_TABLE_ID")


def _fin_timeout(c: _Check, action: a.FinTimeout) -> None:
    if c.dl_type not in (0x0800, 0x86DD) or SLOT["nw_proto"].get(c.match.value) != 6:
        c.inconsistent()


#: Port of a helper -> the IP protocol that it follows.
_HELPER_PROTO: Final = {21: 6, 69: 17}


def _conntrack(c: _Check, action: a.Conntrack) -> None:
    """The connection tracker follows IP only; no version lets anything else pass."""
    proto = _HELPER_PROTO.get(action.alg)
    wrong = proto is not None and SLOT["nw_proto"].get(c.match.value) != proto
    if c.dl_type not in (0x0800, 0x86DD) or wrong:
        raise OpenFlowError("OFPBAC_MATCH_INCONSISTENT")
    if isinstance(action.zone, a.Subfield):
        c.demand_source(action.zone)
    _check_list(c, action.actions)


def _nat(c: _Check, action: a.Nat) -> None:
    if action.family and c.dl_type != (0x0800 if action.family == 4 else 0x86DD):
        raise OpenFlowError("OFPBAC_MATCH_INCONSISTENT")


def _learn(c: _Check, action: a.Learn) -> None:
    """Sources must be in the packet, destinations in what the learned flow will match."""
    learned = _Check(Match(), c.max_port, c.table_id, c.n_tables)
    for spec in action.specs:
        if isinstance(spec.source, a.Subfield):
            _fit(spec.source)
            c.demand_source(spec.source)
        if spec.destination is None:
            continue
        _fit(spec.destination)
        if spec.kind == learn.MATCH:
            learned.demand_source(spec.destination)
            if not isinstance(spec.source, a.Subfield):
                learned.match = learn.learned_match(learned.match, spec.destination, spec.source)
        else:
            learned.demand_destination(spec.destination)


def _fit(part: a.Subfield) -> None:
    if part.offset + part.n_bits > part.field.width:
        raise OpenFlowError("OFPBAC_BAD_SET_LEN")


def _bundle(c: _Check, action: a.Bundle) -> None:
    choice.check_members(action, c.max_port)
    if action.destination is not None:
        c.demand_destination(action.destination)


def _encap(c: _Check, action: a.Encap) -> None:
    """What is pushed is what later actions see."""
    if action.packet_type == 0:
        _set_packet_type(c, 0, c.dl_type)
    else:
        _set_packet_type(c, action.packet_type, action.packet_type & 0xFFFF)


def _decap(c: _Check, action: a.Decap) -> None:
    """Behind Ethernet is what its type says. What is behind another header is known when it is
    off, so that nothing that follows may depend on it."""
    if _PACKET_TYPE.get(c.match.value) == 0:
        _set_packet_type(c, 1 << 16 | c.dl_type, c.dl_type)
    else:
        _set_packet_type(c, _UNKNOWN_TYPE, 0xFFFF)


def _set_packet_type(c: _Check, packet_type: int, dl_type: int) -> None:
    value = _DL_TYPE.put(_PACKET_TYPE.put(c.match.value, packet_type), dl_type)
    c.match = Match(value, c.match.mask | _PACKET_TYPE.mask | _DL_TYPE.mask)


def _dec_nsh_ttl(c: _Check, action: a.DecNshTtl) -> None:
    if _PACKET_TYPE.get(c.match.value) != 0x1894F and c.dl_type != 0x894F:
        c.inconsistent()


def _delete_field(c: _Check, action: a.DeleteField) -> None:
    if not action.field.dynamic:
        raise OpenFlowError("OFPBAC_BAD_ARGUMENT")


def _sample(c: _Check, action: a.Sample) -> None:
    for part in (action.obs_domain_id, action.obs_point_id):
        if isinstance(part, a.Subfield):
            c.demand_source(part)


def _clone(c: _Check, action: a.Clone) -> None:
    before, inner_vlan = c.match, c.inner_vlan
    _check_list(c, action.actions)
    c.match, c.inner_vlan = before, inner_vlan


def _write_actions(c: _Check, action: a.WriteActions) -> None:
    """When the set is carried out, the packet may be another: only hard errors count."""
    before, inner_vlan, protocols = c.match, c.inner_vlan, c.protocols
    _check_list(c, action.actions)
    c.match, c.inner_vlan, c.protocols = before, inner_vlan, protocols


_CHECKS: dict[type[a.Action], Callable[[_Check, Any], None]] = {
    a.Output: _output,
    a.OutputTrunc: _output,
    a.Enqueue: _enqueue,
    a.OutputReg: lambda c, action: c.demand_source(action.source),
    a.SetField: _set_field,
    a.SetVlanVid: _set_vlan,
    a.SetVlanPcp: _set_vlan,
    a.StripVlan: _strip_vlan,
    a.PushVlan: _push_vlan,
    a.DecTtl: _dec_ttl,
    a.SetMplsLabel: _mpls,
    a.SetMplsTc: _mpls,
    a.SetMplsTtl: _mpls,
    a.DecMplsTtl: _mpls,
    a.PushMpls: _push_mpls,
    a.PopMpls: _pop_mpls,
    a.Move: _move,
    a.Push: lambda c, action: c.demand_source(action.source),
    a.Pop: lambda c, action: c.demand_destination(action.destination),
    a.Meter: _meter,
    a.GotoTable: _goto,
    a.Resubmit: _resubmit,
    a.Multipath: lambda c, action: c.demand_destination(action.destination),
    a.Bundle: _bundle,
    a.Learn: _learn,
    a.FinTimeout: _fin_timeout,
    a.Conntrack: _conntrack,
    a.Nat: _nat,
    a.Encap: _encap,
    a.Decap: _decap,
    a.DecNshTtl: _dec_nsh_ttl,
    a.DeleteField: _delete_field,
    a.Sample: _sample,
    a.Clone: _clone,
    a.WriteActions: _write_actions,
}
