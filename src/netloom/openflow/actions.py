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
    meter_id: int = 0
    provider_meter_id: int = 0


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


class Move(Action):
    """Copy bits between fields."""

    source: Subfield
    destination: Subfield


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
    the same table). `with_ct` uses the original direction's tuple of conntrack."""

    in_port: int = 0xFFFFFFF8
    table_id: int = 255
    with_ct: bool = False


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
