"""`Set` actions, compiled: from bits of a flow key to arguments of the packet editor.

One row a header: which editor function writes it, and which slots of the key are which of its
arguments. A slot that is set in full is a constant; one that is set in part is merged with what the
packet has there. A header that the packet does not have is left alone by the editor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from netloom.datapath import actions as dp
from netloom.flow.extract import extract_key
from netloom.flow.fields import SLOT, Slot
from netloom.flow.key import PACKET_TYPE_SHIFT
from netloom.packet import edit
from netloom.packet.nsh import set_nsh
from netloom.packet.offload import Offload, reset_partial_checksum
from netloom.packet.parse import Headers
from netloom.packet.types import packet_type_of

#: Writes a packet; the offload is that of a packet whose checksum is partial, else None.
Setter = Callable[[bytearray, Headers, "Offload | None"], None]
#: More tags than anyone reads: a merge has to see the packet as deep as the flow did.
_VLAN_LIMIT: Final = 2


class _Argument(NamedTuple):
    slot: Slot
    name: str
    is_bytes: bool

    def value(self, key: int) -> Any:
        number = self.slot.get(key)
        return number.to_bytes(self.slot.n_bytes, "big") if self.is_bytes else number


def _set_eth(packet: bytearray, headers: Headers, **addresses: bytes) -> None:
    if headers.type_offset >= 0:
        edit.set_eth(packet, **addresses)


def _row(editor: Callable[..., None], members: str) -> tuple[Callable[..., None], list[_Argument]]:
    """`slot=argument` a member; a `*` marks arguments that are bytes."""
    arguments = []
    for member in members.split():
        slot, _, argument = member.partition("=")
        arguments.append(_Argument(SLOT[slot], argument.lstrip("*"), argument.startswith("*")))
    return editor, arguments


_PORTS: Final = _row(edit.set_ports, "tp_src=src tp_dst=dst")
_LABEL: Final = _row(edit.set_mpls_lse, "mpls_lse0=lse")
_ICMP: Final = _row(edit.set_icmp, "tp_src=kind tp_dst=code")

_HEADERS: Final = {
    "eth": _row(_set_eth, "dl_src=*src dl_dst=*dst"),
    "vlan": _row(edit.set_vlan_tci, "vlan_tci=tci"),
    "mpls": _LABEL,
    dp.KNOWN_LABEL: _LABEL,
    "ipv4": _row(edit.set_ipv4, "nw_src=*src nw_dst=*dst nw_tos=tos nw_ttl=ttl"),
    "ipv6": _row(
        edit.set_ipv6,
        "ipv6_src=*src ipv6_dst=*dst nw_tos=tclass ipv6_label=label nw_ttl=hlimit",
    ),
    "arp": _row(edit.set_arp, "nw_proto=op arp_sha=*sha nw_src=*spa arp_tha=*tha nw_dst=*tpa"),
    "nsh": _row(
        set_nsh,
        "nsh_flags=flags nsh_ttl=ttl nsh_path=path nsh_c1=c1 nsh_c2=c2 nsh_c3=c3 nsh_c4=c4",
    ),
    "tcp": _PORTS,
    "udp": _PORTS,
    "sctp": _PORTS,
    "icmp": _ICMP,
    "icmpv6": _ICMP,
    "nd": _row(edit.set_nd, "nd_target=*target arp_sha=*sll arp_tha=*tll"),
    "nd_ext": _row(edit.set_nd_extensions, "igmp_group=reserved tcp_flags=option"),
    "tcp_flags": _row(edit.set_tcp_flags, "tcp_flags=flags"),
}


def _type_of(headers: Headers) -> int:
    """The packet type, as metadata of a key."""
    if headers.type_offset >= 0:
        return 0
    return packet_type_of(headers.dl_type) << PACKET_TYPE_SHIFT


def compile_set(action: dp.Set) -> Setter | None:
    """What writes the packet; None if the action changes no packet but its metadata."""
    if action.header not in _HEADERS:
        return None
    editor, row = _HEADERS[action.header]
    touched = [argument for argument in row if argument.slot.mask & action.mask]
    if not touched:
        return lambda packet, headers, partial: None
    value, mask = action.value & action.mask, action.mask
    constants = {argument.name: argument.value(value) for argument in touched}
    is_partial = any(argument.slot.mask & ~mask for argument in touched)

    def set_whole(packet: bytearray, headers: Headers, partial: Offload | None) -> None:
        editor(packet, headers, **constants)
        if partial is not None:
            reset_partial_checksum(packet, headers, partial)

    def set_merged(packet: bytearray, headers: Headers, partial: Offload | None) -> None:
        merged = extract_key(bytes(packet), 0, _type_of(headers), _VLAN_LIMIT) & ~mask | value
        editor(packet, headers, **{argument.name: argument.value(merged) for argument in touched})
        if partial is not None:
            reset_partial_checksum(packet, headers, partial)

    return set_merged if is_partial else set_whole
