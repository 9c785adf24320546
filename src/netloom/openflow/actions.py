"""OpenFlow actions and instructions as values, free of any version.

One class per thing that an action does, not per encoding: OFPAT10_SET_DL_SRC of OpenFlow 1.0 and
`set_field:...->eth_src` of 1.2 are both `SetField`; how each version writes it is a matter of the
codec. Where versions differ in meaning (`SetVlanVid` pushes a tag when there is none, SetField of
`vlan_vid` does not), there are two classes. Names follow ovs-actions(7).

`ofproto.translate` has one handler per class; `openflow.codec` one row per class and encoding;
`openflow.action_text` one row per keyword.

Ports are OpenFlow 1.1+ numbers (32 bits; reserved ports are 0xffffff00 and up, see `flow.ports`).
"""

from __future__ import annotations

from netloom.base.record import Record
from netloom.flow.ports import port_from_of10

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.flow.fields import Field


class Subfield(Record):
    """`n_bits` bits of `field`, from bit `offset` up: `NXM_NX_REG0[4..7]`."""

    field: Field
    offset: int
    n_bits: int


class Action(Record):
    """Base of all actions and instructions."""


# Output


class Output(Action):
    """To a port; `max_len` bytes when the port is CONTROLLER."""

    port: int
    max_len: int = 0


class OutputReg(Action):
    """To the port whose number `source` holds."""

    source: Subfield
    max_len: int = 0xFFFF


class OutputTrunc(Action):
    """To a port, cut to `max_len` bytes."""

    port: int
    max_len: int


class Controller(Action):
    """To controllers, with all options of the Nicira action (reason is an OFPR_* number)."""

    max_len: int = 0xFFFF
    controller_id: int = 0
    reason: int = 1
    userdata: bytes = b""
    pause: bool = False
    #: Of the meter that sees them; 0: that of all packets to controllers, if there is one.
    meter_id: int = 0


class Enqueue(Action):
    """To a port through one of its queues."""

    port: int
    queue: int


class Group(Action):
    group_id: int


# Header changes


class SetField(Action):
    """Set the bits of `field` that `mask` has (in the field's own bits) to those of `value`."""

    field: Field
    value: int
    mask: int
    #: Written with `load:` (NXAST_REG_LOAD), not `set_field:`; only text and bytes differ.
    as_load: bool = False
    #: Written with `mod_dl_src:` and the like (OFPAT10_SET_DL_SRC ...); only text differs.
    legacy: bool = False


def load(part: Subfield, number: int) -> SetField:
    """What `load:` makes of `part`. Of a port that has all 16 bits, those are its number of
    OpenFlow 1.0, which stands for one of 32."""
    field = part.field
    if field.form == "port10" and part.n_bits == field.width:
        return SetField(field, port_from_of10(number), field.ones, as_load=True)
    ones = (1 << part.n_bits) - 1
    return SetField(field, number << part.offset, ones << part.offset, as_load=True)


class Move(Action):
    """Copy bits between fields. `onf`: said by ONF's action for OpenFlow 1.3, and so said again."""

    source: Subfield
    destination: Subfield
    onf: bool = False


class SetVlanVid(Action):
    """`mod_vlan_vid`: set the VLAN id; pushes a tag when there is none (`set_vlan_vid` and
    OpenFlow 1.1 do not: `push` False)."""

    vid: int
    push: bool = True


class SetVlanPcp(Action):
    """`mod_vlan_pcp`: set the priority; pushes a tag when there is none, as SetVlanVid does."""

    pcp: int
    push: bool = True


class StripVlan(Action):
    """`strip_vlan`, `pop_vlan` (which of both is a matter of text): remove the outermost tag."""

    pop: bool = False


class PushVlan(Action):
    ethertype: int = 0x8100


class PushMpls(Action):
    ethertype: int = 0x8847


class PopMpls(Action):
    ethertype: int


class DecTtl(Action):
    """Decrement IPv4 TTL or IPv6 hop limit; one that expires goes to the controllers named."""

    controller_ids: tuple[int, ...] = ()


class SetMplsLabel(Action):
    label: int


class SetMplsTc(Action):
    tc: int


class SetMplsTtl(Action):
    ttl: int


class DecMplsTtl(Action):
    pass


class SetTunnelId(Action):
    """`set_tunnel`, `set_tunnel64`."""

    tunnel_id: int
    wide: bool = False


class SetQueue(Action):
    queue: int


class PopQueue(Action):
    pass


class Push(Action):
    """Push bits onto the stack of the translation."""

    source: Subfield


class Pop(Action):
    destination: Subfield


# Flow of control


class Resubmit(Action):
    """Look the packet up again, as if from `in_port` (0xfffffff8: unchanged) in `table_id` (255:
    the same table). `with_ct` uses the original direction's tuple of conntrack. `short`: it came
    as the older action, which has no table, and goes out as that again."""

    in_port: int = 0xFFFFFFF8
    table_id: int = 255
    with_ct: bool = False
    short: bool = False


class Clone(Action):
    """Run `actions` on a copy; changes do not outlive it."""

    actions: tuple[Action, ...]


class Note(Action):
    """Does nothing; carries bytes for people."""

    data: bytes


class Conjunction(Action):
    """This flow is clause number `clause` (from 0) of `n_clauses` of conjunction `conj_id`."""

    conj_id: int
    clause: int
    n_clauses: int


class Exit(Action):
    """Stop processing here."""


# Choice among links


class Multipath(Action):
    """Hash the packet to one of `n_links` links and write its number to `destination`. `fields`,
    `algorithm`: numbers of `netloom.openflow.action_choice`."""

    fields: int
    basis: int
    algorithm: int
    n_links: int
    arg: int
    destination: Subfield


class Bundle(Action):
    """Choose a member port and send to it (`bundle`), or write its number to `destination`
    (`bundle_load`)."""

    fields: int
    basis: int
    algorithm: int
    members: tuple[int, ...]
    destination: Subfield | None = None


# Learning


class LearnSpec(Record):
    """One part of the flow to learn. `kind` (MATCH, LOAD, OUTPUT) says what it becomes; `source`
    is a part of the packet's fields or, as a number, an immediate value of `n_bits` bits;
    `destination` is None for OUTPUT."""

    kind: int
    n_bits: int
    source: Subfield | int
    destination: Subfield | None


class Learn(Action):
    """Add or change a flow made from the packet at hand. `flags`: send_flow_rem 1, delete_learned
    2, write the result 4 (to `result`, set if a flow was learned or is there; not if the
    `limit` of flows was reached). `second`: it came as the younger action, which can say all of
    that, and goes out as that again."""

    table_id: int = 1
    specs: tuple[LearnSpec, ...] = ()
    idle_timeout: int = 0
    hard_timeout: int = 0
    priority: int = 0x8000
    cookie: int = 0
    flags: int = 0
    fin_idle_timeout: int = 0
    fin_hard_timeout: int = 0
    limit: int = 0
    result: Subfield | None = None
    second: bool = False


class FinTimeout(Action):
    """Change the flow's timeouts when TCP ends a connection with FIN or RST."""

    idle_timeout: int = 0
    hard_timeout: int = 0


# Conntrack


class Conntrack(Action):
    """`ct`: through the connection tracker in a zone (a number, or what a field says), then on in
    `table_id` (255: a fork is not made). `alg` is the port of the helper, 0 for none; `actions`
    are `nat` and those of `exec`."""

    commit: bool = False
    force: bool = False
    zone: Subfield | int = 0
    table_id: int = 255
    alg: int = 0
    actions: tuple[Action, ...] = ()


class Nat(Action):
    """Inside of `ct`. `flags`: src 1, dst 2, persistent 4, hash 8, random 16. `family` (0, 4 or 6)
    is that of the addresses; `address_max` and `proto_max` are 0 where there is no range."""

    flags: int = 0
    family: int = 0
    address_min: int = 0
    address_max: int = 0
    proto_min: int = 0
    proto_max: int = 0


class CtClear(Action):
    """Forget what the connection tracker said."""


# Encapsulation


class Encap(Action):
    """Push a header; `properties` are (class, type, data) of each property."""

    packet_type: int
    header_size: int = 0
    properties: tuple[tuple[int, int, bytes], ...] = ()


class Decap(Action):
    """Pop the outermost header; `packet_type` 0xfffe: what follows is known from the header."""

    packet_type: int = 0xFFFE


class DecNshTtl(Action):
    pass


class DeleteField(Action):
    """Remove an option of tunnel metadata."""

    field: Field


class CheckPktLarger(Action):
    """Set the bit `destination` to whether the packet is longer than `size` bytes."""

    size: int
    destination: Subfield


# Watching


class Sample(Action):
    """Send one of 65536 / `probability` packets to the collectors of a set. The observation ids
    are numbers or, since Open vSwitch 3.4, what fields say. `direction`: 0 not said, 1 ingress,
    2 egress."""

    probability: int
    collector_set_id: int = 0
    obs_domain_id: Subfield | int = 0
    obs_point_id: Subfield | int = 0
    sampling_port: int = 0xFFFFFFFF
    direction: int = 0


class DebugRecirc(Action):
    """For tests: recirculate."""


class DebugSlow(Action):
    """For tests: handle in the slow path."""


class UnrollXlate(Action):
    """In frozen translations only: the table and cookie to go on with."""

    table_id: int
    cookie: int


# Instructions (OpenFlow 1.1+); in 1.0 they travel as Nicira actions or not at all.


class Meter(Action):
    meter_id: int


class ClearActions(Action):
    pass


class WriteActions(Action):
    actions: tuple[Action, ...]


class WriteMetadata(Action):
    value: int
    mask: int = 0xFFFFFFFFFFFFFFFF


class GotoTable(Action):
    table_id: int


Actions = tuple[Action, ...]
