"""Data-path actions: what a flow of a data path does with its packets, as values.

These are the actions of Open vSwitch's data paths (ovs-dpctl(8)), simpler than OpenFlow's: ports
are data-path ports, tables and resubmits are gone, every header change is explicit. Their text
(`datapath.action_text`) is what `dpctl/dump-flows` and `ofproto/trace` print.

A `Set` writes the bits of `mask` (both laid out as a flow key, all within one header: Ethernet,
one VLAN tag, ARP, IPv4, IPv6, TCP ...; `header` names it as the text does) and keeps checksums
right. Actions run in order; what a `Recirc` looks up is a copy of the packet.
"""

from __future__ import annotations

from netloom.base.record import Record

#: The header of a `Set` that writes some bits of an MPLS label stack entry of which all are known.
#: It reads as if it wrote them all, as in Open vSwitch, which would give every packet of the flow
#: the TTL of the first.
KNOWN_LABEL = "known mpls"


class DpAction(Record):
    """Base of all data-path actions."""


class Output(DpAction):
    """To a data-path port."""

    port: int


class Userspace(DpAction):
    """Up to `ofproto`: `reason` is what for, the rest comes back with the upcall unchanged.

    `kind` is "controller", "slow_path" or "sflow", "ipfix", "flow_sample"; `cookie` holds its
    arguments as a hashable value (see `ofproto.upcall`). `with_actions`: the upcall tells what the
    flow does with its packets; `tunnel_out_port`: with what outer header they leave that port."""

    kind: str
    cookie: tuple[object, ...] = ()
    max_len: int = 0
    with_actions: bool = False
    tunnel_out_port: int = -1


class Set(DpAction):
    """Set the header fields under `mask` to `value`, both in key layout."""

    header: str
    value: int
    mask: int


class PushVlan(DpAction):
    """Push a tag: `tci` includes the CFI bit."""

    tpid: int
    tci: int


class PopVlan(DpAction):
    pass


class PushMpls(DpAction):
    ethertype: int
    lse: int


class PopMpls(DpAction):
    ethertype: int


class Recirc(DpAction):
    """Look the packet up again with this recirculation id."""

    recirc_id: int


class Hash(DpAction):
    """Compute `dp_hash` by algorithm ("l4", "sym_l4") and basis."""

    algorithm: str
    basis: int


class LbOutput(DpAction):
    """To the port that a bond (`datapath.bonds`) has for packets of this hash."""

    bond: int


class Trunc(DpAction):
    """Cut the copies of the next output to `max_len` bytes."""

    max_len: int


class Clone(DpAction):
    actions: tuple[DpAction, ...]


class Sample(DpAction):
    """Run `actions` on one packet in `2**32 / probability`."""

    probability: int
    actions: tuple[DpAction, ...]


class Psample(DpAction):
    """Show the packet to listeners on this machine: to `group` of the kernel's psample channel,
    with `cookie`, at most 16 bytes. Inside a `Sample`, that one's probability is told, too."""

    group: int
    cookie: bytes = b""


class Meter(DpAction):
    meter_id: int


class CheckPktLen(DpAction):
    """Run one of two action lists by the packet's length."""

    max_len: int
    if_greater: tuple[DpAction, ...]
    if_less: tuple[DpAction, ...]


class Nat(Record):
    """What a `Ct` translates. `kind` is "src", "dst" or "" (only undo and repeat what the
    connection's commit decided). Addresses are numbers of a 4-byte or (`is_ipv6`) 16-byte address;
    `min_addr` None leaves them to the data path; ports 0 means none given."""

    kind: str = ""
    is_ipv6: bool = False
    min_addr: int | None = None
    max_addr: int | None = None
    min_port: int = 0
    max_port: int = 0
    persistent: bool = False
    hash: bool = False
    random: bool = False


class Ct(DpAction):
    """Send the packet through connection tracking, in `zone`; `commit` keeps the connection, with
    the bits of mark and label under their masks. A mask of 0 sets nothing."""

    commit: bool = False
    force: bool = False
    zone: int = 0
    mark: int = 0
    mark_mask: int = 0
    label: int = 0
    label_mask: int = 0
    helper: str = ""
    timeout: str = ""
    nat: Nat | None = None


class CtClear(DpAction):
    pass


class PushEth(DpAction):
    """Put an Ethernet header in front of a packet that has none. Addresses are 48-bit numbers."""

    dst: int
    src: int


class PopEth(DpAction):
    """Take the Ethernet header off; the packet then starts at layer 3."""


class PushNsh(DpAction):
    """Put a network service header (RFC 8300) in front: `path` is service path and index, `context`
    the context headers, 16 bytes for MD type 1, any multiple of 4 for MD type 2."""

    flags: int
    ttl: int
    md_type: int
    protocol: int
    path: int
    context: bytes


class PopNsh(DpAction):
    """Take the network service header off; the packet must be looked up again."""


class AddMpls(DpAction):
    """Put a label in front of the packet, its Ethernet header included; a label in front of a
    packet of labels (`l3`) is like `PushMpls`."""

    ethertype: int
    lse: int
    l3: bool = False


class TunnelPush(DpAction):
    """Put a tunnel's headers (`header`, Ethernet first, less what differs from packet to packet:
    `packet.tunnel.finish_tunnel`) in front of the packet. `type` is the number of the tunnel's
    type, `tunnel_port` the data-path port of that tunnel, `out_port` the port the packet now seems
    to come from. Nobody sends it yet: an `Output` follows."""

    tunnel_port: int
    out_port: int
    type: int
    header: bytes


class TunnelPop(DpAction):
    """The packet is for the tunnel at data-path port `port`: take the tunnel's headers off, note
    what they said in the key's tunnel fields, and look the packet up again as one from `port`."""

    port: int


class Normal(DpAction):
    """Do what the data path was told of the switch of this number (`datapath.switching`)."""

    switch: int


class DropReason(DpAction):
    """Drop explicitly; `reason` is a number of `drop_reasons` (the text has only "drop")."""

    reason: int


DpActions = tuple[DpAction, ...]
