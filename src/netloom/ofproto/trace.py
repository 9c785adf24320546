"""`ofproto/trace`: explain what a bridge does with one packet.

The same translation that serves real packets, with a recorder. Forms, as in ovs-vswitchd(8):

    ofproto/trace BRIDGE FLOW [OPTIONS] [-generate | PACKET]
    ofproto/trace [DATAPATH] ODP-FLOW [OPTIONS] [-generate | PACKET]
    ofproto/trace-packet-out [-consistent] (one of these) ACTIONS

PACKET is hex digits; its headers take the place of FLOW's, whose metadata stays. `-generate` makes
a packet of the flow. With either, what the packet would have the bridge learn is learned. With
ACTIONS the packet is one that a controller sends; `-consistent` refuses actions for fields that it
lacks.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from netloom.base.errors import CommandError, ConfigError
from netloom.datapath.action_text import format_actions
from netloom.datapath.dpif import NO_PORT
from netloom.flow.extract import cut_tags, extract_key
from netloom.flow.fields import KEY_MASK, SLOT, VLAN_CFI
from netloom.flow.key import (
    DL_TYPE_MASK,
    DL_TYPE_NONE,
    DL_TYPE_SHIFT,
    METADATA_ALL_MASK,
    RECIRC_ID_SHIFT,
)
from netloom.flow.match import Match
from netloom.flow.odp_parse import parse_odp_flow
from netloom.flow.ports import MAX, UNSET
from netloom.flow.print import format_flow, format_megaflow
from netloom.flow.text import parse_flow
from netloom.ofproto.bridge import Ofproto
from netloom.ofproto.connmgr_changes import check_presence
from netloom.ofproto.tables import N_TABLES
from netloom.ofproto.trace_resume import read_state, resume
from netloom.ofproto.translate import Recorder, translate
from netloom.ofproto.translate.context import SLOW_REASONS
from netloom.ofproto.translate.record import Fork
from netloom.ofproto.tunnels import TUNNEL_DST_MASK
from netloom.openflow.action_check import check_actions
from netloom.openflow.action_parse import ActionReader
from netloom.openflow.actions import Actions
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.number_text import atoi
from netloom.openflow.protocol import P_OF10_ANY
from netloom.packet.headers import ETH_LEN

if TYPE_CHECKING:
    from netloom.ofproto.backer import Backer

#: Of a packet that comes back again and again, so many times are told.
MAX_RESUMED = 256
#: Where, a flow, a packet.
MAX_WORDS = 3
#: With headers it has to fit into a packet.
_MAX_PAYLOAD = 64_000
_HEX_BYTES = re.compile(r"\s*([0-9a-fA-F]{2}\s*)*")
_ACTSET_OUTPUT = SLOT["actset_output"]
_IN_PORT, _TPID, _TCI = SLOT["in_port"], SLOT["vlan_tpid"], SLOT["vlan_tci"]


class World(Protocol):
    """All bridges and data-path ports, whichever data path they are on."""

    def find_bridge(self, name: str) -> Ofproto | None: ...

    def backers(self) -> Sequence[Backer]: ...

    def now_ms(self) -> int: ...


class _Request:
    """What a command line asks for."""

    __slots__ = ("_waiting", "ct_states", "generate", "names", "packet", "words")

    def __init__(self, args: list[str]) -> None:
        self.words: list[str] = []
        self.packet: bytes | None = None
        self.names = False
        self.generate = False
        self.ct_states: list[int] = []
        #: The option whose argument comes next.
        self._waiting = ""
        for arg in args:
            self._take(arg)
        if self._waiting:
            raise CommandError(f"Missing argument for option {self._waiting}")

    def _take(self, arg: str) -> None:
        if self._waiting:
            self._take_argument(arg)
        elif arg in ("-generate", "--generate"):
            self.generate = True
        elif arg in ("-names", "--names", "--no-names"):
            self.names = arg != "--no-names"
        elif arg in ("--ct-next", "--l7", "--l7-len"):
            self._waiting = arg
        elif arg.startswith("-"):
            raise CommandError(f"{arg}: unknown option")
        elif len(self.words) == MAX_WORDS:
            raise CommandError("too many arguments")
        else:
            self.words.append(arg)

    def _take_argument(self, arg: str) -> None:
        """What follows an option. The payload of a packet that is made has no say in what happens
        to it; so it is only looked at whether there can be such a one."""
        option, self._waiting = self._waiting, ""
        if option == "--ct-next":
            self.ct_states.append(read_state(arg))
        elif option == "--l7" and not _HEX_BYTES.fullmatch(arg):
            raise CommandError("Trailing garbage in packet data")
        elif option == "--l7-len" and not 0 <= atoi(arg) <= _MAX_PAYLOAD:
            raise CommandError(f"{arg}: too much L7 data")


def command_trace(args: list[str], world: World) -> str:
    """The text of a trace; raises CommandError with the words of Open vSwitch."""
    request = _Request(args)
    bridge, key = _read_key(request, world)
    return trace(bridge, key, world, request)


def _read_key(request: _Request, world: World) -> tuple[Ofproto, int]:
    """The bridge that the packet is in, and its key there."""
    bridge, key = _read_flow(request, world)
    if request.packet is not None:
        metadata = key & METADATA_ALL_MASK & ~_IN_PORT.mask
        limit = bridge.backer.dpif.vlan_limit
        key = extract_key(request.packet, _IN_PORT.get(key), metadata, limit)
    if _TCI.get(key) & VLAN_CFI and not _TPID.get(key):
        key = _TPID.put(key, 0x8100)
    return bridge, key


def command_trace_packet_out(args: list[str], world: World) -> str:
    """The same for a packet that a controller sends."""
    is_consistent = any(arg in ("-consistent", "--consistent") for arg in args[:-1])
    named = next((b for word in args[:-1] if (b := world.find_bridge(word)) is not None), None)
    try:
        reader = ActionReader({} if named is None else _port_numbers(named))
        actions = reader.read(args[-1], outer="packet-out")
    except ConfigError as error:
        raise CommandError(str(error)) from error
    request = _Request([arg for arg in args[:-1] if arg not in ("-consistent", "--consistent")])
    bridge, key = _read_key(request, world)
    try:
        match = Match(key, KEY_MASK)
        allowed = check_actions(actions, match, max_port=MAX, n_tables=N_TABLES + 1)
        if is_consistent and not allowed & ~P_OF10_ANY:
            raise OpenFlowError("OFPBAC_MATCH_INCONSISTENT")
        check_presence(bridge, actions)
    except OpenFlowError as error:
        raise CommandError(f"Bad actions: {error}") from error
    return trace(bridge, key, world, request, actions)


def trace(bridge: Ofproto, key: int, world: World, request: _Request, actions: Actions = ()) -> str:
    """Translate `key` (in_port of OpenFlow) and tell what happened, and what becomes of copies
    that come back; without `actions`, those of the tables."""
    now_ms = world.now_ms()
    text, forks, held = _trace_once(bridge, key, now_ms, request, actions)
    waiting = deque(forks)
    n_resumed = 0
    while waiting:
        n_resumed += 1
        if n_resumed > MAX_RESUMED:
            text += f"\n\nThe packet came back {MAX_RESUMED} times: the rest is not traced."
            break
        key, heading = resume(waiting.popleft(), request.ct_states)
        more, forks, ids = _trace_once(bridge, key, now_ms, request, actions)
        text += "\n\n" + "\n".join(heading) + "\n\n" + more
        waiting += forks
        held += ids
    bridge.backer.recirculations.release(held, now_ms)
    text = bridge.tlv_table.shorten(text)
    return text if text.endswith("\n") else f"{text}\n"


def trace_flow(bridge: Ofproto, key: int, now_ms: int) -> str:
    """What happens to a packet of a flow up to where it leaves or comes back, without doing it."""
    text, _, held = _trace_once(bridge, key, now_ms, _Request([]), ())
    bridge.backer.recirculations.release(held, now_ms)
    return bridge.tlv_table.shorten(text)


def _trace_once(
    bridge: Ofproto, key: int, now_ms: int, request: _Request, actions: Actions
) -> tuple[str, list[Fork], tuple[int, ...]]:
    """The text up to the end of one translation, the copies that come back, and the frozen states
    that are held for them."""
    key = _ACTSET_OUTPUT.put(key, UNSET)
    recorder = Recorder(request.names)
    result = translate(
        bridge,
        key,
        now_ms,
        actions=actions or None,
        has_packet=request.packet is not None or request.generate,
        recorder=recorder,
        side_effects=request.packet is not None or request.generate,
        packet=request.packet or b"",
    )
    ports = {number: port.name for number, port in bridge.ports_by_number.items()}
    port_names = ports if request.names else None
    dp_names = bridge.backer.port_names()
    final = "unchanged" if result.key == key else format_flow(result.key, port_names)
    actions_text = format_actions(result.actions, dp_names if request.names else None)
    lines = [
        f"Flow: {format_flow(key, port_names)}",
        *recorder.lines(),
        "",
        f"Final flow: {final}",
        # The packet came without a set of actions.
        f"Megaflow: {format_megaflow(Match(_ACTSET_OUTPUT.put(key, 0), result.mask), port_names)}",
        f"Datapath actions: {actions_text}",
    ]
    if result.slow:
        lines.append("This flow is handled by the userspace slow path because it:")
        lines += [f"  - {SLOW_REASONS[reason]}" for reason in result.slow_reasons]
    if result.error:
        lines += [f"Translation failed ({result.error}), packet is dropped.", ""]
    return "\n".join(lines), recorder.forks, result.recirc_ids


def _read_flow(request: _Request, world: World) -> tuple[Ofproto, int]:
    _take_packet(request)
    words = request.words
    if not 1 <= len(words) <= 2:
        raise CommandError("Syntax error")
    *place, text = words
    backers = _backers_named(place, world)
    try:
        key, mask = parse_odp_flow(text, _dp_port_numbers(backers))
    except ConfigError as error:
        if not place:
            raise CommandError(f"{error} (or the bridge name was omitted)") from error
        return _read_bridge_flow(place[0], text, world)
    if not backers:
        raise CommandError("Cannot find the datapath")
    return _find_port(key, mask, backers)


def _take_packet(request: _Request) -> None:
    """The last word may be a packet; with three it must be one."""
    if request.generate or len(request.words) < 2:
        return
    try:
        packet = bytes.fromhex(request.words[-1])
        complaint = "" if len(packet) >= ETH_LEN else "Packet data too short for Ethernet"
    except ValueError:
        packet, complaint = b"", "Trailing garbage in packet data"
    if not complaint:
        request.packet = packet
        request.words.pop()
    elif len(request.words) > 2:
        raise CommandError(complaint)


def _read_bridge_flow(name: str, text: str, world: World) -> tuple[Ofproto, int]:
    bridge = world.find_bridge(name)
    if bridge is None:
        raise CommandError(f"{name}: unknown bridge")
    try:
        return bridge, parse_flow(text, _port_numbers(bridge), bridge.tlv_table.field_names())
    except ConfigError as error:
        raise CommandError(f"Bad openflow flow syntax: {error}") from error


def _backers_named(words: list[str], world: World) -> Sequence[Backer]:
    """That of the type that a word gives (`dummy` or `ovs-dummy`), or all."""
    if not words:
        return world.backers()
    return [b for b in world.backers() if b.type == words[0].removeprefix("ovs-")]


def _dp_port_numbers(backers: Sequence[Backer]) -> dict[str, int]:
    return {name: number for b in backers for number, name in b.port_names().items()}


def _port_numbers(bridge: Ofproto) -> dict[str, int]:
    return {port.name: number for number, port in bridge.ports_by_number.items()}


def _find_port(key: int, mask: int, backers: Sequence[Backer]) -> tuple[Ofproto, int]:
    """The bridge of a data-path flow's port, and its key there."""
    if not mask & DL_TYPE_MASK:
        key |= DL_TYPE_NONE << DL_TYPE_SHIFT
    recirc_id = key >> RECIRC_ID_SHIFT & 0xFFFFFFFF
    if recirc_id and all(b.recirculations.find(recirc_id) is None for b in backers):
        raise CommandError(f"no recirculation data for recirc_id {recirc_id:#x}")
    ports = (backer.port_of(key) for backer in backers)
    port = next((port for port in ports if port is not None), None)
    if port is None and key & TUNNEL_DST_MASK:
        raise CommandError("no OpenFlow tunnel port for this packet")
    if port is None:
        number = _IN_PORT.get(key) if mask & _IN_PORT.mask else NO_PORT
        raise CommandError(f"no OpenFlow port for datapath port {number}")
    backer = port.bridge.backer
    key = cut_tags(key, backer.dpif.vlan_limit)
    return port.bridge, _IN_PORT.put(port.bridge.tlv_table.unpack(key), port.number)
