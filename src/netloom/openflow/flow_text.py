"""Flows, flow mods, queries and packets to send, from the text of ovs-ofctl(8), "Flow Syntax".

Each parser also returns the protocols (a set of `protocol.P_*`) that can express the result, as
ovs-ofctl(8) picks one of them. Errors are ConfigError with the text that it prints.
"""

from __future__ import annotations

from netloom.base.errors import ConfigError
from netloom.base.log import get_logger
from netloom.base.record import replace
from netloom.flow.fields import FIELD, SLOT, Field
from netloom.flow.match import Match
from netloom.flow.ports import ANY, CONTROLLER, LOCAL, MAX, parse_port
from netloom.flow.prerequisites import is_normal_as, normalize_match, report_normalization
from netloom.flow.scan import parse_decimal
from netloom.flow.text import PROTOCOLS, MatchReader, parse_subfield
from netloom.flow.words import beginnings, first_word, split_words
from netloom.openflow import field_protocols, flow_memory
from netloom.openflow import messages as m
from netloom.openflow import protocol as p
from netloom.openflow.action_check import check_actions
from netloom.openflow.action_parse import ActionReader
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.number_text import to_u16, to_u64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Final

    from netloom.openflow import actions as a
    from netloom.openflow.flow_lines import AlikeFlow, FlowLines
    from netloom.openflow.flow_memory import Effect, FlowMemory

_OF11_UP: Final = p.P_ANY & ~p.P_OF10_ANY
_OF12_UP: Final = p.P_OXM_ANY
_OF13_UP: Final = p.P_OF13 | p.P_OF14 | p.P_OF15
_NXM_OXM: Final = p.P_NXM_ANY | p.P_OXM_ANY

#: Words that turn on a flag -> the flag, the protocols that have it.
_FLAGS: Final = {
    "send_flow_rem": (m.OFPFF_SEND_FLOW_REM, p.P_ANY),
    "check_overlap": (m.OFPFF_CHECK_OVERLAP, p.P_ANY),
    "reset_counts": (m.OFPFF_RESET_COUNTS, _OF12_UP),
    "no_packet_counts": (m.OFPFF_NO_PKT_COUNTS, _OF13_UP),
    "no_byte_counts": (m.OFPFF_NO_BYT_COUNTS, _OF13_UP),
}
#: Words that dump-flows prints and that mean nothing in a flow.
_IGNORED: Final = frozenset({"duration", "n_packets", "n_bytes", "idle_age", "hard_age"})

#: What may be said with each command (-1: a query).
_ACTIONS, _OUT_PORT, _TIMEOUT, _PRIORITY, _FLAG, _IMPORTANCE = (1 << n for n in range(6))
QUERY: Final = -1
_MAY: Final = {
    QUERY: _OUT_PORT,
    m.OFPFC_ADD: _ACTIONS | _TIMEOUT | _PRIORITY | _FLAG | _IMPORTANCE,
    m.OFPFC_DELETE: _OUT_PORT,
    m.OFPFC_DELETE_STRICT: _OUT_PORT | _PRIORITY,
    m.OFPFC_MODIFY: _ACTIONS | _TIMEOUT | _PRIORITY | _FLAG,
    m.OFPFC_MODIFY_STRICT: _ACTIONS | _TIMEOUT | _PRIORITY | _FLAG,
}
#: Words that lines of a file of flows may start with.
COMMANDS: Final = {
    "add": m.OFPFC_ADD,
    "delete": m.OFPFC_DELETE,
    "delete_strict": m.OFPFC_DELETE_STRICT,
    "modify": m.OFPFC_MODIFY,
    "modify_strict": m.OFPFC_MODIFY_STRICT,
}
_BEGINNINGS: Final = beginnings(COMMANDS)
_COMMAND_LETTERS: Final = tuple({name[0] for name in COMMANDS})
#: Lines of a file from which on it pays to look for lines that are alike.
_MANY_LINES: Final = 32
_DL_TYPE: Final = SLOT["dl_type"].mask
_IPV6: Final = 0x86DD << SLOT["dl_type"].shift
#: What IPv4 and IPv6 share.
_IP_SLOTS: Final = sum(SLOT[name].mask for name in ("nw_proto", "nw_tos", "tp_src", "tp_dst"))


class Names:
    """Names that may be used in text, of ports and tables; None: none."""

    __slots__ = ("ports", "tables")

    def __init__(
        self,
        ports: Mapping[str, int] | None = None,
        tables: Mapping[str, int] | None = None,
    ) -> None:
        self.ports = ports
        self.tables = tables


NO_NAMES: Final = Names()


def _part_protocols(field: Field, n_bits: int, mask: int) -> int:
    """The protocols that can match `n_bits` of `field`: all of its bytes is the field itself, less
    needs a field that takes masks."""
    if n_bits == 8 * field.n_bytes:
        return field_protocols.field_protocols(field)
    return field_protocols.field_protocols(field, mask) if field.maskable else 0


class _FlowReader:
    """Takes the words of one flow."""

    def __init__(self, command: int, names: Names) -> None:
        self.command = command
        self.may = _MAY[command]
        self.names = names
        self.matches = MatchReader(names.ports)
        self.protocols = p.P_ANY
        self.actions = ActionReader(names.ports, names.tables)
        self._found: dict[str, int] = {}

    def read_text(self, text: str, memory: FlowMemory | None) -> None:
        """Takes the words of `text`, with what `memory` knows of them."""
        words = flow_memory.split_plain(text) if memory is not None else None
        if words is None or memory is None:
            for word, argument in split_words(text):
                self.read(word, argument)
            return
        effects = memory.effects
        match = self.matches.match
        value, mask, protocols = match.value, match.mask, self.protocols
        for word in words:
            effect = effects.get(word)
            if effect is None and memory.is_back(word):
                effect = self._effect(word)
                if effect is not None:
                    effects[word] = effect
            if effect is None:
                self.matches.match, self.protocols = Match(value, mask), protocols
                self.read(*_split_word(word))
                match = self.matches.match
                value, mask, protocols = match.value, match.mask, self.protocols
                continue
            value = value & effect.keep_value | effect.set_value
            mask = mask & effect.keep_mask | effect.set_mask
            protocols &= effect.protocols
            if effect.found:
                flags = self._found.get("flags", 0)
                self._found |= effect.found
                if flags:
                    self._found["flags"] |= flags
        self.matches.match, self.protocols = Match(value, mask), protocols

    def _effect(self, word: str) -> Effect | None:
        """What `word` does to any flow: seen at a match of nothing and a match of everything. None
        if what it does depends on what was said before."""
        name, text = _split_word(word)
        if "[" in name:
            return None
        low, high = _FlowReader(self.command, self.names), _FlowReader(self.command, self.names)
        high.matches.match = Match(-1, -1)
        low.read(name, text)
        high.read(name, text)
        if low.protocols != high.protocols:
            return None
        put, keep = low.matches.match, high.matches.match
        return flow_memory.Effect(
            (keep.value, keep.mask), (put.value, put.mask), low.protocols, low._found
        )

    def read(self, name: str, value: str) -> None:
        if name in PROTOCOLS or name == "eth":
            self.matches.read(name, value)
        elif self.may & _FLAG and name in _FLAGS:
            flag, protocols = _FLAGS[name]
            self._found["flags"] = self._found.get("flags", 0) | flag
            self.protocols &= protocols
        elif name in ("no_readonly_table", "allow_hidden_fields"):
            return
        elif name in FIELD or "[" in name:
            self._read_field(name, value)
        elif not value:
            raise ConfigError(f"field {name} missing value")
        else:
            self._read_keyword(name, value)

    def _read_field(self, name: str, value: str) -> None:
        before = self.matches.match
        self.matches.read(name, value)
        field = FIELD[name] if name in FIELD else parse_subfield(name)[0]
        mask = self.matches.match.mask >> field.shift & field.ones
        if "[" in name:
            self.protocols &= _part_protocols(field, parse_subfield(name)[2], mask)
            return
        if field.name == "dl_vlan" and not mask and self.matches.match != before:
            mask = field.ones
        self.protocols &= (
            _NXM_OXM if field.dynamic else field_protocols.field_protocols(field, mask)
        )

    def _read_keyword(self, name: str, value: str) -> None:
        if name == "table":
            table = self.actions.table(value)
            if table is None:
                raise ConfigError(f'unknown table "{value}"')
            self._found["table_id"] = table
            if table != 0xFF:
                self.protocols &= p.P_TID
        elif self.may & _OUT_PORT and name == "out_port":
            port = parse_port(value, self.names.ports)
            if port is None:
                raise ConfigError(f"{value} is not a valid OpenFlow port")
            self._found["out_port"] = port
        elif self.may & _OUT_PORT and name == "out_group":
            self.protocols &= _OF11_UP
            self._found["out_group"] = self._group(value)
        elif self.may & _PRIORITY and name == "priority":
            self._found["priority"] = to_u16(value, name)
        elif self.may & _TIMEOUT and name in ("idle_timeout", "hard_timeout"):
            self._found[name] = to_u16(value, name)
        elif self.may & _IMPORTANCE and name == "importance":
            self._found["importance"] = to_u16(value, name)
        elif name == "cookie":
            self._read_cookie(value)
        elif name not in _IGNORED:
            raise ConfigError(f"unknown keyword {name}")

    @staticmethod
    def _group(value: str) -> int:
        words = {"all": 0xFFFFFFFC, "any": 0xFFFFFFFF}
        if value.lower() in words:
            return words[value.lower()]
        number = parse_decimal(value)
        if number is None:
            get_logger("ofp_group").warn(
                "%s is not a valid group ID.  (Valid group IDs are 32-bit nonnegative integers or "
                "the keywords ANY or ALL.)", value,
            )  # fmt: skip
            raise ConfigError(f"{value} is not a valid OpenFlow group")
        return number

    def _read_cookie(self, text: str) -> None:
        value, slash, mask = text.partition("/")
        if slash:
            if self.command == m.OFPFC_ADD:
                raise ConfigError("flow additions cannot use a cookie mask")
            self._found["cookie"] = to_u64(value)
            self._found["cookie_mask"] = to_u64(mask)
            if self._found["cookie_mask"]:
                self.protocols &= p.P_NXM_ANY | _OF11_UP
        else:
            if self.command not in (m.OFPFC_ADD, m.OFPFC_MODIFY, m.OFPFC_MODIFY_STRICT):
                raise ConfigError(
                    "cannot set cookie (to match on a cookie, specify a mask, "
                    f"e.g. cookie={text}/-1)"
                )
            self._found["new_cookie"] = to_u64(text)

    def finish(self, action_text: str | None = None, memory: FlowMemory | None = None) -> m.FlowMod:
        """The flow mod that was read, with the actions in `action_text`."""
        match = self.matches.match
        if match.value & _DL_TYPE == _IPV6 and match.mask & _IP_SLOTS:
            self.protocols &= _NXM_OXM
        modifies = self.command in (m.OFPFC_MODIFY, m.OFPFC_MODIFY_STRICT)
        said: dict[str, Any] = {"new_cookie": None if modifies else 0, **self._found}
        if action_text is not None:
            table_id = said.get("table_id", m.OFPTT_ALL)
            said["actions"] = self._read_actions(action_text, match, table_id, memory)
        flow = m.FlowMod(max(self.command, 0), match, **said)
        if modifies and not flow.cookie_mask and flow.new_cookie in (None, m.UNKNOWN):
            # Such a modification may add the flow, which then has cookie 0.
            flow = replace(flow, new_cookie=0)
        return flow

    def _read_actions(
        self, text: str, match: Match, table_id: int, memory: FlowMemory | None
    ) -> tuple[a.Action, ...]:
        if memory is None:
            actions = self.actions.read(text)
        else:
            actions = self.actions.read_with(text, memory)
        self.protocols &= self.actions.protocols
        try:
            self.protocols &= check_actions(actions, match, table_id=table_id)
            if not self.protocols:
                raise OpenFlowError("OFPBAC_MATCH_INCONSISTENT")
        except OpenFlowError as error:
            raise ConfigError(f"actions are invalid with specified match ({error.name})") from None
        return actions


def _split_word(word: str) -> tuple[str, str]:
    """`NAME`, `NAME=VALUE` or `NAME:VALUE`."""
    name, equals, value = word.partition("=")
    if not equals or ":" in name:
        name, _, value = word.partition(":")
    return name, value


def _split_actions(text: str) -> tuple[str, str | None]:
    """What stands before `actions=`, and behind it (None if it is not there)."""
    at = text.find("action")
    if at < 0:
        return text, None
    rest = text[at:]
    equals = rest.find("=")
    return text[:at], rest[equals + 1 :] if equals >= 0 else None


def parse_flow_mod(
    text: str,
    command: int | None = None,
    names: Names = NO_NAMES,
    memory: FlowMemory | None = None,
) -> tuple[m.FlowMod, int]:
    """A flow mod; `command` None: the text may start with one, `add` if it does not. `memory` is
    for one command only."""
    if command is None:
        command, text = _leading_command(text)
    reader = _FlowReader(command, names)
    action_text: str | None = None
    if reader.may & _ACTIONS:
        text, action_text = _split_actions(text)
        if action_text is None:
            raise ConfigError("must specify an action")
    reader.read_text(text, memory)
    flow = reader.finish(action_text, memory)
    _log_if_not_normal(flow.match, names, memory)
    return flow, reader.protocols


def _log_if_not_normal(match: Match, names: Names, memory: FlowMemory | None) -> None:
    """A match that demands what cannot be is sent as it is: the switch may think otherwise."""
    known = is_normal_as(match) if memory is not None else None
    if memory is not None and known in memory.normal:
        return
    lines = normalize_match(match, port_labels(names))[1]
    report_normalization(lines)
    if memory is not None and known is not None and not lines:
        memory.normal.add(known)


def port_labels(names: Names) -> dict[int, str] | None:
    """Number -> name of the ports."""
    return {port: name for name, port in names.ports.items()} if names.ports else None


def _leading_command(text: str) -> tuple[int, str]:
    text = text.lstrip(" \t\r\n")
    if not text.startswith(_COMMAND_LETTERS):
        return m.OFPFC_ADD, text
    word = first_word(text)
    if word in _BEGINNINGS:
        return _BEGINNINGS[word], text[len(word) :]
    return m.OFPFC_ADD, text


def parse_query(text: str, names: Names = NO_NAMES) -> tuple[m.FlowStatsRequest, int]:
    """Which flows to tell about."""
    reader = _FlowReader(QUERY, names)
    for name, value in split_words(text):
        reader.read(name, value)
    flow = reader.finish()
    request = m.FlowStatsRequest(
        flow.match, flow.table_id, flow.out_port, flow.out_group, flow.cookie, flow.cookie_mask
    )
    protocols = reader.protocols
    # Queries name a table in every protocol.
    if protocols & p.P_OF10_TID:
        protocols |= p.P_OF10
    if protocols & p.P_NXM_TID:
        protocols |= p.P_NXM
    return request, protocols


def parse_flow_lines(
    lines: list[str], command: int | None, names: Names, where: str
) -> tuple[list[m.FlowMod], int]:
    """Flow mods of a file: one per line, `#` starts a comment. `where` names the file in errors."""
    flows, usable = read_flow_lines(lines, command, names, where)
    return [flow if isinstance(flow, m.FlowMod) else flow.flow() for flow in flows], usable


def read_flow_lines(
    lines: list[str], command: int | None, names: Names, where: str
) -> tuple[list[m.FlowMod | AlikeFlow], int]:
    """The same for who does not ask what flows are but sends them: those that are alike stay
    numbers."""

    def read(text: str, kind: int, memory: FlowMemory) -> tuple[m.FlowMod, int]:
        return parse_flow_mod(text, kind, names, memory)

    known: FlowLines | None = None
    if len(lines) >= _MANY_LINES:
        from netloom.openflow.flow_lines import FlowLines

        known = FlowLines(read)
    parse = read if known is None else known.parse_other
    flows: list[m.FlowMod | AlikeFlow] = []
    usable = p.P_ANY
    memories: dict[int, FlowMemory] = {}
    usual = m.OFPFC_ADD if command is None else command
    for number, line in enumerate(lines, 1):
        # A line that has a shape has no comment, no spaces around it, and no command.
        alike = None if known is None else known.alike(line, usual)
        if alike is not None:
            flows.append(alike)
            continue
        text = line.partition("#")[0].strip(" \t\r\n")
        if not text:
            continue
        kind, rest = (command, text) if command is not None else _leading_command(text)
        memory = memories.get(kind) or memories.setdefault(kind, flow_memory.FlowMemory())
        alike = None if known is None else known.alike(rest, kind)
        if alike is not None:
            flows.append(alike)
            continue
        try:
            flow, protocols = parse(rest, kind, memory)
        except ConfigError as error:
            raise ConfigError(f"{where}:{number}: {error}") from None
        flows.append(flow)
        usable &= protocols
    return flows, usable


# Packets to send

#: Beginnings of the names of fields that a packet to send may come with.
_PIPELINE: Final = ("tun_", "metadata", "reg", "xreg", "xxreg", "packet_type")


def parse_packet_out(text: str, names: Names = NO_NAMES) -> tuple[m.PacketOut, int]:
    """`in_port=PORT [FIELD=VALUE...] packet=HEX [actions=...]`; without a port it is from the
    controller."""
    protocols = p.P_ANY
    text, action_text = _split_actions(text)
    match = Match()
    packet: bytes | None = None
    matches = MatchReader(names.ports)
    for name, value in split_words(text):
        if not value:
            raise ConfigError(f"field {name} missing value")
        if name == "in_port":
            port = parse_port(value, names.ports)
            if port is None:
                raise ConfigError(f"{value} is not a valid OpenFlow port")
            if port > MAX and port not in (LOCAL, ANY, CONTROLLER):
                raise ConfigError(f"{value} is not a valid OpenFlow port for PACKET_OUT")
            matches.match = matches.match.with_field(FIELD["in_port_oxm"], port)
        elif name == "packet_type" and "," not in value:
            raise ConfigError(f"packet_type({value}) can't be interpreted")
        elif name in FIELD:
            field = FIELD[name]
            if name == "packet_type" and not value.startswith("("):
                # The parentheses of `packet_type(NS,TYPE)` are those of any argument.
                value = f"({value})"
            matches.read(name, value)
            if not field.name.startswith(_PIPELINE):
                raise ConfigError(f"{name} is not a valid pipeline field for PACKET_OUT")
            # Connections that cannot say it do without.
            if field.name != "packet_type":
                bits = matches.match.mask >> field.shift & field.ones
                protocols &= field_protocols.field_protocols(field, bits)
        elif name == "packet":
            packet = _packet_bytes(value)
        else:
            raise ConfigError(f"unknown keyword {name}")
    if packet is None:
        raise ConfigError("must specify packet")
    match = matches.match
    if not match.mask & SLOT["in_port"].mask:
        match = match.with_field(FIELD["in_port_oxm"], CONTROLLER)
    reader = ActionReader(names.ports, names.tables)
    actions = reader.read(action_text or "", outer="packet-out")
    return m.PacketOut(packet, match, actions), protocols & reader.protocols


def _packet_bytes(text: str) -> bytes:
    digits = "".join(text.split())
    try:
        packet = bytes.fromhex(digits)
    except ValueError:
        raise ConfigError("packet: Trailing garbage in packet data") from None
    if len(packet) < 14:
        raise ConfigError("packet: Packet data too short for Ethernet")
    return packet
