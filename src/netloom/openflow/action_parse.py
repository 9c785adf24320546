"""Actions from text, in the syntax of ovs-actions(7).

Errors are ConfigError with the text that ovs-ofctl(8) prints.
"""

from __future__ import annotations

from netloom.base.errors import ConfigError
from netloom.base.log import get_logger
from netloom.base.numbers import any_int
from netloom.flow.ports import CONTROLLER, IN_PORT, LOCAL, MAX, parse_port, unquote_name
from netloom.flow.scan import parse_decimal
from netloom.flow.text import parse_subfield
from netloom.flow.words import split_words
from netloom.openflow import action_choice as choice
from netloom.openflow import action_conntrack as conntrack
from netloom.openflow import action_encap as encap
from netloom.openflow import action_field_text as fields
from netloom.openflow import action_learn as learn
from netloom.openflow import action_small as small
from netloom.openflow import actions as a
from netloom.openflow import flow_memory, names
from netloom.openflow import protocol as p
from netloom.openflow.action_check import conjunction_fault, order_fault
from netloom.openflow.action_nesting import nesting_fault
from netloom.openflow.number_text import c_int, leading_int, to_u8, to_u16, to_u32, to_u64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Final

    from netloom.openflow.flow_memory import FlowMemory, ReadActions

log: Final = get_logger("ofp_actions")
_socket_log: Final = get_logger("socket_util")
_table_log: Final = get_logger("ofp_table")

_OF11_UP: Final = p.P_ANY & ~p.P_OF10_ANY
_OF13_UP: Final = p.P_OF13 | p.P_OF14 | p.P_OF15


#: Actions within actions within ... before a text is refused.
MAX_DEPTH: Final = 100
#: Actions that a list may have: Open vSwitch has 64 KiB for one, where most take 16 bytes.
MAX_ACTIONS: Final = 4_095


class ActionReader:
    """Reads lists of actions; `protocols` is what they can be said in (a set of P_*)."""

    __slots__ = ("_depth", "port_names", "protocols", "table_names")

    def __init__(
        self,
        port_names: Mapping[str, int] | None = None,
        table_names: Mapping[str, int] | None = None,
    ) -> None:
        self.port_names = port_names
        self.table_names = table_names
        self.protocols = p.P_ANY
        self._depth = 0

    def read(self, text: str, outer: str = "") -> tuple[a.Action, ...]:
        """The actions in `text`; `outer` is the action that they stand in, if any ("bucket" and
        "packet-out": no action, but no flow either, so that instructions have no place there)."""
        actions = self._whole(*self._read_words(text, outer), outer)
        if outer and any(type(action) is a.Meter for action in actions):
            # An action, not an instruction.
            self.protocols &= p.P_OF15
        return actions

    def read_with(self, text: str, memory: FlowMemory) -> tuple[a.Action, ...]:
        """As `read`, with what `memory` knows of `text` or of its parts."""
        known = memory.actions.get(text)
        if known is not None:
            self.protocols &= known[2]
            return known[0]
        parts = flow_memory.split_parts(text)
        if parts is None:
            return self.read(text)
        before, self.protocols = self.protocols, p.P_ANY
        found: list[a.Action] = []
        drop = False
        for part in parts:
            actions, is_drop, protocols = memory.parts.get(part) or self._read_part(part, memory)
            found += actions
            drop |= is_drop
            self.protocols &= protocols
        actions = self._whole(found, drop, "")
        memory.keep(memory.actions, text, (actions, drop, self.protocols))
        self.protocols &= before
        return actions

    def _read_part(self, part: str, memory: FlowMemory) -> ReadActions:
        before, self.protocols = self.protocols, p.P_ANY
        found, drop = self._read_words(part, "")
        read = tuple(found), drop, self.protocols
        self.protocols = before
        memory.keep(memory.parts, part, read)
        return read

    def _read_words(self, text: str, outer: str) -> tuple[list[a.Action], bool]:
        """The actions in `text`, and whether `drop` is among them."""
        if self._depth >= MAX_DEPTH:
            raise ConfigError("Action nested too deeply")
        self._depth += 1
        try:
            return self._read_list(text, outer)
        finally:
            self._depth -= 1

    def _read_list(self, text: str, outer: str) -> tuple[list[a.Action], bool]:
        found: list[a.Action] = []
        drop = False
        for name, value in split_words(text):
            keyword = name.lower()
            if keyword == "drop":
                drop = True
                continue
            if keyword == "apply_actions":
                raise ConfigError("apply_actions is the default instruction")
            found.append(self._read_one(keyword, name, value, outer))
        return found, drop

    @staticmethod
    def _whole(found: list[a.Action], drop: bool, outer: str) -> tuple[a.Action, ...]:
        """The list as a whole, checked."""
        if len(found) > MAX_ACTIONS:
            raise ConfigError("input too big")
        if drop and found:
            raise ConfigError('"drop" must not be accompanied by any other action or instruction')
        actions = tuple(found)
        fault = conjunction_fault(actions) if outer else order_fault(actions)
        if fault:
            raise ConfigError(fault)
        nested = nesting_fault(actions, outer)
        if nested is not None:
            raise ConfigError(nested[0])
        return actions

    def _read_one(self, keyword: str, name: str, value: str, outer: str) -> a.Action:
        reader = _READERS.get(keyword)
        if reader is not None:
            action = reader(self, value)
            if outer not in ("", "ct") and keyword in _INSTRUCTIONS:
                raise ConfigError(f"{keyword} instruction not allowed here")
            return action
        port = parse_port(name, self.port_names)
        if port is not None:
            # The number of the controllers' port sends them nothing of a packet.
            is_number = name[:1].isdigit()
            return a.Output(port, 0) if is_number else _output_to(port)
        raise ConfigError(f"unknown action {name}")

    def table(self, text: str) -> int | None:
        """The number of the table that `text` names."""
        if text.startswith("-"):
            _table_log.warn("Negative value %s is not a valid table number.", text)
            return None
        number = parse_decimal(text)
        if number is None:
            return self.table_names.get(unquote_name(text)) if self.table_names else None
        if number > 255:
            _table_log.warn("table %s is outside the supported range 0 through 255", text)
            return None
        return number


def parse_actions(
    text: str,
    port_names: Mapping[str, int] | None = None,
    table_names: Mapping[str, int] | None = None,
) -> tuple[tuple[a.Action, ...], int]:
    """The actions that `text` lists, and the protocols that can express them."""
    reader = ActionReader(port_names, table_names)
    actions = reader.read(text)
    return actions, reader.protocols


# Output


def _output_to(port: int) -> a.Output:
    return a.Output(port, 0xFFFF if port == CONTROLLER else 0)


def _output(r: ActionReader, text: str) -> a.Action:
    port = parse_port(text, r.port_names)
    if port is not None:
        return _output_to(port)
    if "port" in text and "max_len" in text:
        return _output_trunc(r, text)
    try:
        field, offset, n_bits = parse_subfield(text)
    except ConfigError:
        raise ConfigError(f"{text}: output to unknown port") from None
    return a.OutputReg(a.Subfield(field, offset, n_bits))


def _output_trunc(r: ActionReader, text: str) -> a.Action:
    port: int | None = None
    max_len = 0
    for name, value in split_words(text):
        if name == "port":
            port = parse_port(value, r.port_names)
            if port is None:
                raise ConfigError(f"output to unknown truncate port: {value}")
            if port >= MAX and port not in (LOCAL, IN_PORT):
                raise ConfigError(f"output to unsupported truncate port: {value}")
        elif name == "max_len":
            max_len = to_u32(value)
            if max_len < 14:
                raise ConfigError(f"max_len {max_len} is less than the minimum value 14")
        else:
            raise ConfigError(f"invalid key '{name}' in output_trunc argument")
    assert port is not None
    return a.OutputTrunc(port, max_len)


#: The reason that has no name: a miss that the switch's own rule dealt with.
_MISS_RULE = 7


def _reason(word: str) -> int | None:
    if not word:
        return _MISS_RULE
    return next((n for n, name in names.REASONS.items() if name == word.lower()), None)


def _controller(r: ActionReader, text: str) -> a.Action:
    if not text:
        return a.Output(CONTROLLER, 0xFFFF)
    if text.isdigit():
        return a.Output(CONTROLLER, to_u16(text, "max_len"))
    found: dict[str, int | bytes | bool] = {}
    userdata = ""
    for name, value in split_words(text):
        if name == "reason":
            number = _reason(value)
            if number is None:
                raise ConfigError(f'unknown reason "{value}"')
            found["reason"] = number
        elif name == "max_len":
            found["max_len"] = to_u16(value, "max_len")
        elif name == "id":
            found["controller_id"] = to_u16(value, "id")
        elif name == "userdata":
            userdata = value
        elif name == "pause":
            found["pause"] = True
        elif name == "meter_id":
            found["meter_id"] = to_u32(value)
        else:
            raise ConfigError(f'unknown key "{name}" parsing controller action')
    if userdata:
        what = "bad hex digit in `controller' action `userdata'"
        found["userdata"] = _hex_bytes(userdata, what)
    action = a.Controller(**found)  # type: ignore[arg-type]
    if action == a.Controller(action.max_len):
        return a.Output(CONTROLLER, action.max_len)
    return action


def _hex_bytes(text: str, fault: str) -> bytes:
    """Pairs of hexadecimal digits, dots between them allowed."""
    out = bytearray()
    at = 0
    while at < len(text):
        while text[at : at + 1] == ".":
            at += 1
        if at == len(text):
            break
        try:
            out.append(int(text[at : at + 2], 16) if len(text) >= at + 2 else int("x"))
        except ValueError:
            raise ConfigError(fault) from None
        at += 2
    return bytes(out)


def _enqueue(r: ActionReader, text: str) -> a.Action:
    text = text.lstrip(":,")
    end = next((at for at, char in enumerate(text) if char in ":,"), len(text))
    words = [text[:end], text[end + 1 :]]
    if not words[0] or not words[1]:
        raise ConfigError('"enqueue" syntax is "enqueue:PORT:QUEUE" or "enqueue(PORT,QUEUE)"')
    port = parse_port(words[0], r.port_names)
    if port is None:
        raise ConfigError(f"{words[0]}: enqueue to unknown port")
    return a.Enqueue(port, to_u32(words[1]))


# VLAN and MPLS


def _vlan_vid(push: bool) -> Callable[[ActionReader, str], a.Action]:
    def read(r: ActionReader, text: str) -> a.Action:
        vid = to_u16(text, "VLAN VID")
        if vid > 0xFFF:
            raise ConfigError(f"{text}: not a valid VLAN VID")
        return a.SetVlanVid(vid, push)

    return read


def _vlan_pcp(push: bool) -> Callable[[ActionReader, str], a.Action]:
    def read(r: ActionReader, text: str) -> a.Action:
        pcp = to_u8(text, "VLAN PCP")
        if pcp > 7:
            raise ConfigError(f"{text}: not a valid VLAN PCP")
        return a.SetVlanPcp(pcp, push)

    return read


def _push_vlan(r: ActionReader, text: str) -> a.Action:
    r.protocols &= _OF11_UP
    ethertype = to_u16(text, "ethertype")
    if ethertype not in (0x8100, 0x88A8):
        raise ConfigError(f"{text}: not a valid VLAN ethertype")
    return a.PushVlan(ethertype)


def _mpls_label(r: ActionReader, text: str) -> a.Action:
    if not text:
        raise ConfigError("set_mpls_label: expected label.")
    label = to_u32(text)
    if label >> 20:
        raise ConfigError(f"{text}: not a valid MPLS label")
    return a.SetMplsLabel(label)


def _mpls_tc(r: ActionReader, text: str) -> a.Action:
    if not text:
        raise ConfigError("set_mpls_tc: expected tc.")
    tc = to_u8(text, "MPLS TC")
    if tc > 7:
        raise ConfigError(f"{text}: not a valid MPLS TC")
    return a.SetMplsTc(tc)


def _mpls_ttl(r: ActionReader, text: str) -> a.Action:
    if not text:
        raise ConfigError("set_mpls_ttl: expected ttl.")
    return a.SetMplsTtl(to_u8(text, "MPLS TTL"))


def _dec_ttl(r: ActionReader, text: str) -> a.Action:
    ids = text.replace(",", " ").split()
    if text and not ids:
        raise ConfigError("dec_ttl_cnt_ids: expected at least one controller id.")
    numbers = [leading_int(word) for word in ids]
    return a.DecTtl(tuple(number & 0xFFFF for number in numbers))


def _tunnel(wide: bool) -> Callable[[ActionReader, str], a.Action]:
    def read(r: ActionReader, text: str) -> a.Action:
        value = to_u64(text)
        return a.SetTunnelId(value, wide or value > 0xFFFFFFFF)

    return read


# Flow of control


def _resubmit(r: ActionReader, text: str) -> a.Action:
    words = text.split(",")
    port: int | None = IN_PORT
    if words[0]:
        port = parse_port(words[0], r.port_names)
        if port is None:
            raise ConfigError(f"{words[0]}: resubmit to unknown port")
    table: int | None = 255
    if len(words) > 1 and words[1]:
        table = r.table(words[1])
        if table is None:
            raise ConfigError(f"{words[1]}: resubmit to unknown table")
    if len(words) > 2 and words[2] and words[2] != "ct":
        raise ConfigError(f"{words[2]}: unknown parameter")
    assert port is not None and table is not None
    if port == IN_PORT and table == 255:
        raise ConfigError('at least one "in_port" or "table" must be specified on resubmit')
    return a.Resubmit(port, table, len(words) > 2 and words[2] == "ct")


def _clone(r: ActionReader, text: str) -> a.Action:
    return a.Clone(r.read(text, "clone"))


def _note(r: ActionReader, text: str) -> a.Action:
    return a.Note(_hex_bytes(text, "bad hex digit in `note' argument"))


def _octet(text: str) -> int | None:
    """The decimal number that `text` is, as much of it as a byte holds."""
    text = text.strip()
    digits = text[1:] if text[:1] in ("-", "+") else text
    if not digits.isascii() or not digits.isdigit():
        return None
    number = any_int(digits)
    return (-number if text[:1] == "-" else number) & 0xFF


def _conjunction(r: ActionReader, text: str) -> a.Action:
    id_text, comma, rest = text.partition(",")
    clause_text, slash, count_text = rest.partition("/")
    conj_id, clause, count = c_int(id_text.rstrip()), _octet(clause_text), _octet(count_text)
    if not comma or not slash or conj_id is None or clause is None or count is None:
        raise ConfigError('"conjunction" syntax is "conjunction(id,i/n)"')
    if count < 2:
        raise ConfigError("conjunction must have at least 2 clauses")
    if count > 64:
        raise ConfigError("conjunction must have at most 64 clauses")
    if clause < 1:
        raise ConfigError("clause index must be positive")
    if clause > count:
        raise ConfigError("clause index must be less than or equal to number of clauses")
    return a.Conjunction(conj_id & 0xFFFFFFFF, clause - 1, count)


# Instructions


def _meter(r: ActionReader, text: str) -> a.Action:
    r.protocols &= _OF13_UP
    return a.Meter(to_u32(text))


def _clear(r: ActionReader, text: str) -> a.Action:
    return a.ClearActions()


def _write_actions(r: ActionReader, text: str) -> a.Action:
    return a.WriteActions(r.read(text, "write_actions"))


def _write_metadata(r: ActionReader, text: str) -> a.Action:
    r.protocols &= _OF11_UP | p.P_NXM_ANY
    value_text, slash, mask_text = text.partition("/")
    mask = 0xFFFFFFFFFFFFFFFF
    if slash:
        mask = to_u64(mask_text)
    return a.WriteMetadata(to_u64(value_text), mask)


def _goto(r: ActionReader, text: str) -> a.Action:
    table = r.table(text)
    if table is None:
        raise ConfigError(f'unknown table "{text}"')
    return a.GotoTable(table)


_INSTRUCTIONS: Final = frozenset({"clear_actions", "write_actions", "write_metadata", "goto_table"})


def _unroll(r: ActionReader, text: str) -> a.Action:
    raise ConfigError("UNROLL is an internal action that shouldn't be used via OpenFlow")


#: Modules whose names these use run when the first such action is read.
_READERS: dict[str, Callable[[ActionReader, str], a.Action]] = {
    "output": _output,
    "controller": _controller,
    "enqueue": _enqueue,
    "group": lambda r, text: a.Group(to_u32(text)),
    "set_field": lambda r, text: fields.parse_set_field(r, text),
    "load": lambda r, text: fields.parse_load(r, text),
    "move": lambda r, text: fields.parse_move(r, text),
    "push": lambda r, text: fields.parse_push(r, text),
    "pop": lambda r, text: fields.parse_pop(r, text),
    "mod_dl_src": lambda r, text: fields.parse_mod_mac(text, "eth_src"),
    "mod_dl_dst": lambda r, text: fields.parse_mod_mac(text, "eth_dst"),
    "mod_nw_src": lambda r, text: fields.parse_mod_ip(text, "ip_src"),
    "mod_nw_dst": lambda r, text: fields.parse_mod_ip(text, "ip_dst"),
    "mod_nw_tos": lambda r, text: fields.parse_mod_tos(r, text),
    "mod_nw_ecn": lambda r, text: fields.parse_mod_ecn(r, text),
    "mod_nw_ttl": lambda r, text: fields.parse_mod_ttl(r, text),
    "mod_tp_src": lambda r, text: fields.parse_mod_port(text, "tcp_src", "source port"),
    "mod_tp_dst": lambda r, text: fields.parse_mod_port(text, "tcp_dst", "destination port"),
    "mod_vlan_vid": _vlan_vid(True),
    "set_vlan_vid": _vlan_vid(False),
    "mod_vlan_pcp": _vlan_pcp(True),
    "set_vlan_pcp": _vlan_pcp(False),
    "strip_vlan": lambda r, text: a.StripVlan(),
    "pop_vlan": lambda r, text: a.StripVlan(True),
    "push_vlan": _push_vlan,
    "push_mpls": lambda r, text: a.PushMpls(to_u16(text, "push_mpls")),
    "pop_mpls": lambda r, text: a.PopMpls(to_u16(text, "pop_mpls")),
    "set_mpls_label": _mpls_label,
    "set_mpls_tc": _mpls_tc,
    "set_mpls_ttl": _mpls_ttl,
    "dec_mpls_ttl": lambda r, text: a.DecMplsTtl(),
    "dec_ttl": _dec_ttl,
    "set_tunnel": _tunnel(False),
    "set_tunnel64": _tunnel(True),
    "set_queue": lambda r, text: a.SetQueue(to_u32(text)),
    "pop_queue": lambda r, text: a.PopQueue(),
    "resubmit": _resubmit,
    "clone": _clone,
    "note": _note,
    "conjunction": _conjunction,
    "multipath": lambda r, text: choice.parse_multipath(r, text),
    "bundle": lambda r, text: choice.parse_bundle(r, text),
    "bundle_load": lambda r, text: choice.parse_bundle_load(r, text),
    "learn": lambda r, text: learn.parse_learn(r, text),
    "fin_timeout": lambda r, text: small.parse_fin_timeout(r, text),
    "ct": lambda r, text: conntrack.parse_ct(r, text),
    "nat": lambda r, text: conntrack.parse_nat(r, text),
    "ct_clear": lambda r, text: a.CtClear(),
    "encap": lambda r, text: encap.parse_encap(r, text),
    "decap": lambda r, text: encap.parse_decap(r, text),
    "dec_nsh_ttl": lambda r, text: a.DecNshTtl(),
    "delete_field": lambda r, text: small.parse_delete_field(r, text),
    "check_pkt_larger": lambda r, text: small.parse_check_pkt_larger(r, text),
    "sample": lambda r, text: small.parse_sample(r, text),
    "debug_recirc": lambda r, text: a.DebugRecirc(),
    "debug_slow": lambda r, text: a.DebugSlow(),
    "unroll_xlate": _unroll,
    "exit": lambda r, text: a.Exit(),
    "meter": _meter,
    "clear_actions": _clear,
    "write_actions": _write_actions,
    "write_metadata": _write_metadata,
    "goto_table": _goto,
}
