"""The state of one translation, and its result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, cast

from netloom.base.log import WARN, get_logger
from netloom.datapath.action_size import count_bytes
from netloom.datapath.actions import DpAction, DpActions
from netloom.flow.fields import KEY_MASK, SLOT
from netloom.flow.key import CT_MASK, FRAG_LATER, TUNNEL_MASK
from netloom.flow.ports import UNSET
from netloom.flow.print import format_flow
from netloom.openflow import actions as a
from netloom.packet.headers import ETH_TYPE_NSH, NSH_MD_TYPE1

if TYPE_CHECKING:
    from netloom.ofproto.bridge import Ofproto
    from netloom.ofproto.bundle import Bundle
    from netloom.ofproto.rules import Rule
    from netloom.ofproto.table import Table
    from netloom.ofproto.trails import Trail
    from netloom.ofproto.translate.record import Recorder
    from netloom.ofproto.translate.sample_leaving import Sampling
    from netloom.ofproto.translate.walk_log import WalkLog

log: Final = get_logger("ofproto_dpif_xlate")

#: What the log tells of failures at most, as in Open vSwitch.
ERRORS_PER_MINUTE: Final = 1
ERROR_BURST: Final = 5
#: Failures of packets that go around in the tables.
RECURSION: Final = "Recursion too deep"
RESUBMITS: Final = "Too many resubmits"
#: Nesting of resubmits to the same or an earlier table, and of patch ports.
MAX_DEPTH: Final = 64
#: Resubmits of one packet.
MAX_RESUBMITS: Final = MAX_DEPTH * MAX_DEPTH
#: Data-path actions of one flow. Open vSwitch has no limit but the memory: each table may add as
#: many as a flow has before it is seen that they are too many (`may_go_deeper`).
MAX_ACTIONS: Final = 100_000
#: So few actions are never too many bytes.
FEW_ACTIONS: Final = 100

#: Why packets of a flow each go up to the switch -> what a trace says of it.
SLOW_REASONS: Final = {
    "cfm": "Consists of CFM packets.",
    "bfd": "Consists of BFD packets.",
    "lacp": "Consists of LACP packets.",
    "stp": "Consists of STP packets.",
    "lldp": "Consists of LLDP packets.",
    "action": "Uses action(s) not supported by datapath.",
}
_IN_PORT: Final = SLOT["in_port"]
_ACTSET_OUTPUT: Final = SLOT["actset_output"]
_DL_TYPE: Final = SLOT["dl_type"]
_NW_FRAG_MASK: Final = 3 << SLOT["nw_frag"].shift
_ALWAYS: Final = _IN_PORT.mask | _DL_TYPE.mask | SLOT["recirc_id"].mask | SLOT["packet_type"].mask
_PACKET_TYPE: Final = SLOT["packet_type"]
_NSH_MD_TYPE: Final = SLOT["nsh_mdtype"]
_NSH_CONTEXT_MASK: Final = sum(SLOT[f"nsh_c{number}"].mask for number in (1, 2, 3, 4))
_IP_TYPES: Final = frozenset({0x0800, 0x86DD})
#: What a packet does not carry with it through a patch port.
_LOCAL_TO_BRIDGE: Final = (
    SLOT["metadata"].mask
    | sum(SLOT[f"reg{n}"].mask for n in range(32))
    | SLOT["actset_output"].mask
    | TUNNEL_MASK
    | CT_MASK
)
_CARRIED: Final = KEY_MASK & ~_LOCAL_TO_BRIDGE


class Walk(Protocol):
    """The parts of the translation that call one another: actions look up tables, tables run
    actions. Each finds the others here."""

    def enter_table(
        self,
        context: Context,
        table_id: int,
        in_port: int | None = None,
        may_packet_in: bool = True,
        is_entry: bool = False,
        with_ct: bool = False,
        as_clone: bool = False,
    ) -> None:
        """Run the rule of `table_id` that matches; with `in_port`, as if from that port.
        `is_entry`: the packet has just come in from outside. `with_ct`: look it up by the tuple of
        its connection. `as_clone`: nothing of what the rule does outlives it."""

    def run_actions(self, context: Context, actions: a.Actions) -> None:
        """Run a list of actions, up to its end or to one that ends it."""

    def run_as_clone(self, context: Context, actions: a.Actions) -> None:
        """Run a list of actions, and what it writes to the action set, on a copy of the packet."""

    def run_action_set(self, context: Context) -> None:
        """Run what was written, at the end of a bridge's pipeline."""

    def finish_freezing(self, context: Context, table_id: int = 0) -> int:
        """Freeze the translation as it is and emit what makes the packet come back."""

    def normal(self, context: Context) -> None:
        """Treat the packet as a learning switch does."""

    def mirror(self, context: Context, bundle: Bundle, entering: bool) -> None:
        """Copy the packet to the mirrors that select it."""

    def sample_entering(self, context: Context) -> None:
        """Have samples taken of packets that have just come in."""

    def mirror_entering(self, context: Context) -> bool:
        """Copy a packet that has just come in; False if it may not come in."""


class Credit(Protocol):
    """Somebody whose counters a flow's packets go to."""

    def credit(self, n_packets: int, n_bytes: int, used_ms: int) -> None: ...


#: A bridge's name, an address and a VLAN.
MacLookup = tuple[str, int, int]


class Translated:
    """The result: `actions` with data-path ports, the `mask` of what they depend on, the final
    `key`, whom packets are credited to, why the packet was dropped whole, if so, and, if some
    action is one that data paths cannot do, what to do `slow`: hand each packet up."""

    __slots__ = (
        "actions", "avoid_caching", "credits", "error", "key", "mac_lookups", "mask", "recirc_ids",
        "slow", "slow_reasons", "trail",
    )  # fmt: skip

    def __init__(
        self,
        actions: DpActions,
        mask: int,
        key: int,
        credits_: list[Credit],
        error: str,
        slow: DpActions = (),
        mac_lookups: tuple[MacLookup, ...] = (),
        recirc_ids: tuple[int, ...] = (),
        slow_reasons: tuple[str, ...] = (),
        trail: Trail | None = None,
        avoid_caching: bool = False,
    ) -> None:
        self.actions = actions
        self.mask = mask
        self.key = key
        self.credits = credits_
        self.error = error
        self.slow = slow
        self.slow_reasons = slow_reasons
        #: What was asked of MAC tables: only a change of these answers can change the result.
        self.mac_lookups = mac_lookups
        #: Numbers of frozen states that the actions mention, held by whoever has this result.
        self.recirc_ids = recirc_ids
        #: Where the packet was looked up (see `trails`); None if that is not known.
        self.trail = trail
        #: Must each packet come up that finds no flow, as if there never had been one?
        self.avoid_caching = avoid_caching

    @property
    def flow_actions(self) -> DpActions:
        """The actions of the data path's flow: up to here, packet by packet, if need be."""
        return self.slow or self.actions


class Freeze:
    """What goes into a frozen state besides the packet's own (see `freeze`). `hash_wanted`: an
    algorithm and a basis, for what the data path is to find out; `pause`: a controller decides when
    to go on."""

    __slots__ = ("actions", "hash_wanted", "pause", "place", "resumes_behind")

    def __init__(
        self,
        resumes_behind: bool = False,
        hash_wanted: tuple[str, int] | None = None,
        pause: a.Controller | None = None,
    ) -> None:
        #: What is still to be run.
        self.actions: list[a.Action] = []
        #: Table and cookie that the actions so far name.
        self.place: tuple[int, int] | None = None
        self.resumes_behind = resumes_behind
        self.hash_wanted = hash_wanted
        self.pause = pause


def _first_mask(key: int) -> int:
    """What every result depends on."""
    packet_type = _PACKET_TYPE.get(key)
    dl_type = packet_type & 0xFFFF if packet_type else _DL_TYPE.get(key)
    if dl_type in _IP_TYPES:
        return _ALWAYS | _NW_FRAG_MASK
    if dl_type == ETH_TYPE_NSH and _NSH_MD_TYPE.get(key) != NSH_MD_TYPE1:
        # There are no context words of fixed place: that they are not there is looked at.
        return _ALWAYS | _NSH_CONTEXT_MASK
    return _ALWAYS


class Context:
    """See the package. `bridge` is where the packet is now; `key` what it looks like there."""

    __slots__ = (
        "_sized",
        "action_set",
        "actions",
        "avoid_caching",
        "base",
        "bridge",
        "changed",
        "conntracked",
        "cookie",
        "credits",
        "depth",
        "done",
        "encap_data",
        "error",
        "first_bridge",
        "first_key",
        "freeze",
        "has_begun",
        "has_packet",
        "in_action_set",
        "in_bucket",
        "in_packet_out",
        "is_last",
        "key",
        "log",
        "mac_lookups",
        "mask",
        "mirrored",
        "n_resubmits",
        "nat",
        "now_ms",
        "packet",
        "pending_decap",
        "pending_encap",
        "recirc_ids",
        "recorder",
        "rule",
        "sampling",
        "side_effects",
        "slow",
        "snaplen",
        "stack",
        "table_id",
        "tables",
        "walk",
        "was_mpls",
    )  # fmt: skip

    def __init__(
        self,
        bridge: Ofproto,
        key: int,
        now_ms: int,
        recorder: Recorder | None,
        side_effects: bool,
        walk: Walk,
        log: WalkLog | None = None,
    ) -> None:
        self.walk, self.log, self.bridge = walk, log, bridge
        self.key = self.base = self.first_key = key = _ACTSET_OUTPUT.put(key, UNSET)
        self.now_ms, self.recorder, self.side_effects = now_ms, recorder, side_effects
        #: The tables that were looked up, and the bits in which the packet then was not as it came.
        self.changed, self.tables = 0, cast("set[Table]", set())
        #: Bits that the result depends on.
        self.mask = _first_mask(key)
        self.actions: list[DpAction] = []
        self._sized: tuple[list[DpAction], int, int] = (self.actions, 0, 0)
        self.credits: list[Credit] = []
        self.action_set: list[a.Action] = []
        self.stack: list[tuple[int, int]] = []
        self.table_id = 0
        self.rule: Rule | None = None
        #: Of the rule whose actions run; all ones for actions of no rule.
        self.cookie = 0xFFFFFFFFFFFFFFFF
        self.first_bridge = bridge
        #: The first table costs no resubmit.
        self.has_begun, self.depth, self.n_resubmits = False, 0, 0
        #: Set when an action ends the processing of its list.
        self.done, self.error, self.avoid_caching = False, "", False
        #: Why each packet has to come up: words of SLOW_REASONS.
        self.slow: set[str] = set()
        #: Why a packet goes to the controller depends on where the output stands.
        self.in_action_set = self.in_packet_out = False
        #: Destinations of mirrors that have the packet: bridge, port, VLAN.
        self.mirrored: frozenset[tuple[str, str, int]] = frozenset()
        #: Bytes of the copy that is being sent to a mirror; 0 for all.
        self.snaplen = 0
        self.mac_lookups: list[MacLookup] = []
        #: Nothing follows the action that runs: what it does needs not be undone.
        self.is_last = True
        #: The action that runs stands in a bucket of a group.
        self.in_bucket = False
        #: There is a packet, not only its key (`packet`, if it is at hand).
        self.has_packet, self.packet = True, b""
        #: What connection tracking said of the packet may be looked at.
        self.conntracked = False
        #: A header was put in front (`encap_data`: what is not in the key of it), or taken off, and
        #: the data path has not yet been told.
        self.pending_encap, self.pending_decap, self.encap_data = False, False, b""
        #: The last label was popped: what is below is not known before the packet comes back.
        self.was_mpls = False
        #: `nat` of the `ct` that runs.
        self.nat: a.Nat | None = None
        #: Set while the translation stops to go on later.
        self.freeze: Freeze | None = None
        self.recirc_ids: list[int] = []
        #: What exporters are to know of it in the end; None: there are none.
        self.sampling: Sampling | None = None

    @property
    def in_port(self) -> int:
        return self.key >> _IN_PORT.shift & _IN_PORT.ones

    def emit(self, action: DpAction) -> None:
        self.actions.append(action)
        if len(self.actions) > MAX_ACTIONS:
            self.fail("resubmits yielded over 64 kB of actions")

    def n_bytes(self) -> int:
        """The size of the actions so far (`action_size`): of those that are new since the last call
        it is worked out now."""
        actions, counted, size = self._sized
        if actions is not self.actions or counted > len(actions):
            actions, counted, size = self.actions, 0, 0
        if len(actions) > counted:
            size += count_bytes(actions[counted:])
        self._sized = actions, len(actions), size
        return size

    def fail(self, reason: str, detail: str = "") -> None:
        """Drop the packet whole; `detail` is what a trace says at this place."""
        self.report_error(detail or reason)
        self.error = reason
        self.done = True

    def cannot_repeat(self) -> None:
        """What is done here to this packet need not be right for another of its kind."""
        if self.log is not None:
            self.log.give_up()

    def blur(self) -> None:
        """The packet becomes one of which its key does not tell how it came."""
        self.changed = -1

    def set_in_port(self, number: int) -> None:
        self.key = _IN_PORT.put(self.key, number)

    @property
    def is_later_fragment(self) -> bool:
        return bool(self.key >> SLOT["nw_frag"].shift & FRAG_LATER)

    def enter_bridge(self, bridge: Ofproto, in_port: int) -> None:
        """Cross a patch port: what belongs to a bridge stays behind."""
        self.bridge = bridge
        self.conntracked = False
        self.key = _ACTSET_OUTPUT.put(self.key & _CARRIED, UNSET)
        self.set_in_port(in_port)

    # What ofproto/trace shows

    def begin_bridge(self, bridge: Ofproto) -> None:
        if self.recorder is not None:
            self.recorder.enter("bridge", f'bridge("{bridge.name}")')

    def end(self) -> None:
        """Close what `begin_bridge` or a table opened."""
        if self.recorder is not None:
            self.recorder.leave()

    def detail(self, text: str) -> None:
        if self.recorder is not None:
            self.recorder.add("detail", text)

    def explain(self, text: str) -> None:
        """Beside the actions, like one of them."""
        if self.recorder is not None:
            self.recorder.add("action", text)

    def tell(self, text: str) -> None:
        """What a thaw restores."""
        if self.recorder is not None:
            self.recorder.add("thawed", text)

    def port_names(self) -> dict[int, str] | None:
        """The names of the bridge's ports, if a trace is to tell them."""
        if self.recorder is None or not self.recorder.with_names:
            return None
        return {number: port.name for number, port in self.bridge.ports_by_number.items()}

    def warn(self, text: str) -> None:
        if self.recorder is not None:
            self.recorder.add("warning", text)

    def report_error(self, text: str) -> None:
        """Tell a trace, or the log if it is about a packet."""
        if self.recorder is not None:
            self.recorder.add("error", text)
        elif self.packet and log.admits(WARN, "translation", ERRORS_PER_MINUTE, ERROR_BURST):
            # A tunnel that the packet came through is none of what it is now.
            flow = format_flow(self.base & ~TUNNEL_MASK)
            log.warn("%s on bridge %s while processing %s", text, self.bridge.name, flow)
