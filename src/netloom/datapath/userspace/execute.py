"""Running actions on a packet.

An `Execution` carries one packet through one list of actions: its bytes, the offsets of its
headers, its metadata. Each action has one handler in `_HANDLERS`. What leaves the packet (an
output, a packet for `ofproto`) goes to the `Outlet`, which is the data path. A list of actions that
asks for what cannot be done is a drop with a counted reason; nothing raises because of a packet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from netloom.datapath import actions as dp
from netloom.flow.extract import extract_key
from netloom.flow.fields import SLOT
from netloom.flow.key import METADATA_ALL_MASK
from netloom.packet import edit
from netloom.packet.offload import (
    GSO_ECN,
    NEEDS_CSUM,
    Offload,
    finish_offload,
    reset_partial_checksum,
)
from netloom.packet.parse import Headers, parse

#: How often one packet may be looked up again. Open vSwitch has 6 too; more is a loop.
MAX_RECIRCULATIONS = 6
#: A tag or a label more than this makes no packet that anyone accepts; it is a loop of pushes.
MAX_FRAME_BYTES = 65_535 + 14 + 8

DROP_RECIRCULATION = "datapath_drop_recirc_error"
DROP_INVALID = "datapath_drop_rx_invalid_packet"
DROP_UNSUPPORTED = "datapath_drop_userspace_action_error"
DROP_EXPLICIT = "drop_action_of_pipeline"
DROP_METER = "datapath_drop_meter"


class Outlet(Protocol):
    """Where packets go: the data path that runs the actions."""

    def output(self, port: int, data: bytes, offload: Offload | None) -> None: ...

    def upcall(self, action: dp.Userspace, key: int, data: bytes, offload: Offload | None) -> None:
        """Hand a packet to `ofproto`."""

    def recirculate(self, data: bytes, key: int, offload: Offload | None, depth: int) -> None:
        """Look the packet up again; `key` holds its metadata, with the new recirculation id."""

    def drop(self, reason: str) -> None: ...


class Execution:
    """One packet on its way through actions. `key` gives the metadata that is not in its bytes."""

    __slots__ = ("data", "depth", "dp_hash", "headers", "key", "max_len", "offload", "outlet")

    def __init__(
        self, outlet: Outlet, data: bytes, key: int, offload: Offload | None, depth: int = 0
    ) -> None:
        self.outlet = outlet
        self.data = bytearray(data)
        self.key = key
        self.offload = offload
        self.depth = depth
        self.headers: Headers | None = None
        #: Bytes that the next output may have; 0 for all.
        self.max_len = 0

    def run(self, actions: dp.DpActions) -> None:
        if not actions:
            self.outlet.drop(DROP_EXPLICIT)
        for action in actions:
            handler = _HANDLERS.get(type(action))
            if handler is None:
                self.outlet.drop(DROP_UNSUPPORTED)
                return
            handler(self, action)

    def copy(self) -> Execution:
        return Execution(self.outlet, bytes(self.data), self.key, self.offload, self.depth)

    def parsed(self) -> Headers:
        """Where the headers are now."""
        if self.headers is None:
            self.headers = parse(self.data)
        return self.headers

    def current_key(self) -> int:
        """The packet's key as it is now, metadata included."""
        return extract_key(bytes(self.data), 0, self.key & METADATA_ALL_MASK)


def _output(execution: Execution, action: dp.Output) -> None:
    data, offload = bytes(execution.data), execution.offload
    if execution.max_len:
        # A packet that is cut has no use for what its sender left undone.
        if offload is not None:
            data, offload = finish_offload(data, offload)[0], None
        data = data[: execution.max_len]
        execution.max_len = 0
    execution.outlet.output(action.port, data, offload)


def _userspace(execution: Execution, action: dp.Userspace) -> None:
    key, data = execution.current_key(), bytes(execution.data)
    execution.outlet.upcall(action, key, data, execution.offload)


def _push_vlan(execution: Execution, action: dp.PushVlan) -> None:
    if len(execution.data) + 4 > MAX_FRAME_BYTES:
        execution.outlet.drop(DROP_INVALID)
        return
    edit.push_vlan(execution.data, execution.parsed(), action.tpid, action.tci)
    _grow(execution, 4)


def _pop_vlan(execution: Execution, action: dp.PopVlan) -> None:
    headers = execution.parsed()
    if headers.n_vlans:
        edit.pop_vlan(execution.data, headers)
        _grow(execution, -4)


def _push_mpls(execution: Execution, action: dp.PushMpls) -> None:
    _finish(execution)
    edit.push_mpls(execution.data, execution.parsed(), action.ethertype, action.lse)


def _pop_mpls(execution: Execution, action: dp.PopMpls) -> None:
    edit.pop_mpls(execution.data, execution.parsed(), action.ethertype)


def _grow(execution: Execution, by: int) -> None:
    if execution.offload is not None:
        execution.offload = execution.offload.moved(by)


def _finish(execution: Execution) -> None:
    """Complete the checksum of a packet whose headers no device will understand any more."""
    offload = execution.offload
    if offload is None or offload.gso_type & ~GSO_ECN:
        return
    execution.data = bytearray(finish_offload(bytes(execution.data), offload)[0])
    execution.offload = None


def _recirc(execution: Execution, action: dp.Recirc) -> None:
    if execution.depth >= MAX_RECIRCULATIONS:
        execution.outlet.drop(DROP_RECIRCULATION)
        return
    metadata = SLOT["recirc_id"].put(execution.key & METADATA_ALL_MASK, action.recirc_id)
    execution.outlet.recirculate(
        bytes(execution.data), metadata, execution.offload, execution.depth + 1
    )


def _trunc(execution: Execution, action: dp.Trunc) -> None:
    execution.max_len = action.max_len


def _clone(execution: Execution, action: dp.Clone) -> None:
    execution.copy().run(action.actions)


def _check_pkt_len(execution: Execution, action: dp.CheckPktLen) -> None:
    longer = len(execution.data) > action.max_len
    execution.copy().run(action.if_greater if longer else action.if_less)


def _drop_reason(execution: Execution, action: dp.DropReason) -> None:
    execution.outlet.drop(DROP_EXPLICIT)


# Header changes: one row per header, from slots of the key to arguments of the editor.

_Convert = Callable[[int, int], Any]


def _as_bytes(value: int, n_bytes: int) -> bytes:
    return value.to_bytes(n_bytes, "big")


def _as_int(value: int, n_bytes: int) -> int:
    return value


_Row = tuple[Callable[..., None], tuple[tuple[str, str, _Convert], ...]]

_SETTERS: dict[str, _Row] = {
    "ipv4": (
        edit.set_ipv4,
        (
            ("nw_src", "src", _as_bytes),
            ("nw_dst", "dst", _as_bytes),
            ("nw_tos", "tos", _as_int),
            ("nw_ttl", "ttl", _as_int),
        ),
    ),
    "ipv6": (
        edit.set_ipv6,
        (
            ("ipv6_src", "src", _as_bytes),
            ("ipv6_dst", "dst", _as_bytes),
            ("nw_tos", "tclass", _as_int),
            ("ipv6_label", "label", _as_int),
            ("nw_ttl", "hlimit", _as_int),
        ),
    ),
    "ports": (edit.set_ports, (("tp_src", "src", _as_int), ("tp_dst", "dst", _as_int))),
    "icmp": (edit.set_icmp, (("tp_src", "kind", _as_int), ("tp_dst", "code", _as_int))),
    "arp": (
        edit.set_arp,
        (
            ("nw_proto", "op", _as_int),
            ("arp_sha", "sha", _as_bytes),
            ("nw_src", "spa", _as_bytes),
            ("arp_tha", "tha", _as_bytes),
            ("nw_dst", "tpa", _as_bytes),
        ),
    ),
    "nd": (
        edit.set_nd,
        (
            ("nd_target", "target", _as_bytes),
            ("arp_sha", "sll", _as_bytes),
            ("arp_tha", "tll", _as_bytes),
        ),
    ),
    "nd_extensions": (
        edit.set_nd_extensions,
        (("igmp_group", "reserved", _as_int), ("tcp_flags", "option", _as_int)),
    ),
    "mpls": (edit.set_mpls_lse, (("mpls_lse0", "lse", _as_int),)),
    "vlan": (edit.set_vlan_tci, (("vlan_tci", "tci", _as_int),)),
}
_SETTERS |= dict.fromkeys(("tcp", "udp", "sctp"), _SETTERS["ports"])
_SETTERS["icmpv6"] = _SETTERS["icmp"]

#: Slots of a key that lie in no packet: setting them changes the metadata.
_METADATA_HEADERS = frozenset({"skb_priority", "skb_mark", "tunnel"})


def _merged(execution: Execution, action: dp.Set) -> int:
    """The bits to set, completed with the packet's own where a slot is set in part."""
    for slot in _TOUCHED(action.mask):
        if slot.mask & ~action.mask:
            return execution.current_key() & ~action.mask | action.value
    return action.value


def _TOUCHED(mask: int) -> list[Any]:
    return [slot for slot in SLOT.values() if slot.mask & mask]


def _set(execution: Execution, action: dp.Set) -> None:
    if action.header in _METADATA_HEADERS:
        execution.key = execution.key & ~action.mask | action.value
        return
    merged = _merged(execution, action)
    if action.header == "eth":
        _set_eth(execution, action.mask, merged)
        return
    setter, row = _SETTERS[action.header]
    arguments = {
        argument: convert(SLOT[name].get(merged), SLOT[name].n_bytes)
        for name, argument, convert in row
        if SLOT[name].mask & action.mask
    }
    headers = execution.parsed()
    setter(execution.data, headers, **arguments)
    if execution.offload is not None and execution.offload.flags & NEEDS_CSUM:
        reset_partial_checksum(execution.data, headers, execution.offload)


_DL_SRC, _DL_DST = SLOT["dl_src"], SLOT["dl_dst"]


def _set_eth(execution: Execution, mask: int, merged: int) -> None:
    edit.set_eth(
        execution.data,
        src=_DL_SRC.get(merged).to_bytes(6, "big") if mask & _DL_SRC.mask else None,
        dst=_DL_DST.get(merged).to_bytes(6, "big") if mask & _DL_DST.mask else None,
    )


_HANDLERS: dict[type, Callable[[Execution, Any], None]] = {
    dp.Output: _output,
    dp.Userspace: _userspace,
    dp.Set: _set,
    dp.PushVlan: _push_vlan,
    dp.PopVlan: _pop_vlan,
    dp.PushMpls: _push_mpls,
    dp.PopMpls: _pop_mpls,
    dp.Recirc: _recirc,
    dp.Trunc: _trunc,
    dp.Clone: _clone,
    dp.CheckPktLen: _check_pkt_len,
    dp.DropReason: _drop_reason,
}
