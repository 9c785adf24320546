"""Choosing what a connection is translated to, and writing it into packets.

A translated connection has a reverse tuple that no other connection has: answers are recognised by
it. The choice starts at an address and port that the hash of the connection picks (so that the
same one gets the same again), or a random number if asked, and goes on from there while tuples are
taken: ports first, then addresses. With `persistent` only the hosts count, so that one client keeps
one address. Without a port range, the port stays if it can; else another of its class is taken
(below 512, below 1024, the rest), as RFC 6056 and Linux keep privileged ports privileged. ICMP's
queries keep their identifier if they can at any of the addresses; else they get another of its
class (RFC 5508).

In packets, both checksums are updated by the difference. An ICMP error is translated twice:
outside, and, the other way round, in the packet that it quotes (RFC 5508).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import Struct

from netloom.datapath.actions import Nat
from netloom.datapath.userspace.conntrack.connection import NAT_DST, NAT_SRC
from netloom.datapath.userspace.conntrack.tuples import (
    Tuple,
    identifier,
    is_icmp,
    parse_quoted,
    with_identifier,
)
from netloom.flow.hashes import add_word, finish
from netloom.packet import edit
from netloom.packet.checksum import update_checksum
from netloom.packet.headers import (
    ETH_TYPE_IP,
    IPPROTO_ICMPV6,
    IPPROTO_SCTP,
    IPPROTO_TCP,
    IPPROTO_UDP,
)
from netloom.packet.offload import Offload, reset_partial_checksum
from netloom.packet.parse import Headers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_WITH_PORTS: Final = (IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP)
#: Ports tried at one address, and addresses tried: what Open vSwitch's choice is bounded by.
MAX_PORT_TRIES: Final = 65_536
MAX_ADDRESS_TRIES: Final = 65_536
#: Identifiers tried next to the one that a query has, and from anywhere in its class on.
IDENTIFIER_TRIES: Final = 128
_FOUR_WORDS: Final = Struct("<4I")


def choose_reverse(
    key: Tuple, nat: Nat, is_taken: Callable[[Tuple], bool], draw: int
) -> Tuple | None:
    """The tuple of the answers to `key`, or None if all are taken. `draw` is a random number, used
    for `random`."""
    start = draw if nat.random else _hash(key, nat)
    reverse = key.reversed()
    for address in _addresses(reverse, nat, start):
        if nat.kind == "src":
            candidate = reverse._replace(dst=address)
        else:
            candidate = reverse._replace(src=address)
        if key.proto not in _WITH_PORTS:
            if not is_taken(candidate):
                return candidate
            continue
        for name, port in _ports(key, nat, start):
            found = candidate._replace(**{name: port})
            if not is_taken(found):
                return found
    if is_icmp(key):
        return _with_other_identifier(reverse, nat, start, is_taken, draw)
    return None


def _with_other_identifier(
    reverse: Tuple, nat: Nat, start: int, is_taken: Callable[[Tuple], bool], draw: int
) -> Tuple | None:
    """The answers to a query at the first of the addresses, whose identifier is taken there."""
    address = next(_addresses(reverse, nat, start))
    candidate = reverse._replace(**{"dst" if nat.kind == "src" else "src": address})
    own = identifier(reverse)
    low, high = _class_of(own)
    size = high - low + 1
    near = (own + step for step in range(1, IDENTIFIER_TRIES + 1))
    far = (draw + step for step in range(IDENTIFIER_TRIES))
    for number in (*near, *far):
        found = with_identifier(candidate, low + (number - low) % size)
        if not is_taken(found):
            return found
    return None


def _hash(key: Tuple, nat: Nat) -> int:
    """Number for number what the programs of the kernel data path compute."""
    size = 4 if key.dl_type == ETH_TYPE_IP else 16
    words = [*_address_words(key.src, size)]
    if not nat.persistent:
        words += [*_address_words(key.dst, size), key.sport, key.dport, key.proto]
    state = 0
    for word in (*words, *nat_words(nat)):
        state = add_word(state, word)
    return finish(state, 4 if size == 4 else 6)


def _address_words(address: int, size: int) -> tuple[int, int, int, int]:
    data = address.to_bytes(size, "big")
    a, b, c, d = _FOUR_WORDS.unpack(data.ljust(16, b"\0"))
    return a, b, c, d


def nat_words(nat: Nat) -> tuple[int, ...]:
    """A range as words: both addresses as they lie in packets, and both ports in one."""
    least, most = nat.min_addr or 0, nat.max_addr or 0
    size = 16 if nat.is_ipv6 else 4
    ports = nat.min_port | nat.max_port << 16
    return *_address_words(least, size), *_address_words(most, size), ports


def _addresses(reverse: Tuple, nat: Nat, start: int) -> Iterator[int]:
    # 0.0.0.0 is the address that it has: only a port that is taken is translated.
    if not nat.min_addr or nat.max_addr is None:
        yield reverse.dst if nat.kind == "src" else reverse.src
        return
    size = nat.max_addr - nat.min_addr + 1
    for step in range(min(size, MAX_ADDRESS_TRIES)):
        yield nat.min_addr + (start + step) % size


def _ports(key: Tuple, nat: Nat, start: int) -> Iterator[tuple[str, int]]:
    """Which port of the reverse tuple to try, and its value. A destination that is translated
    without a port keeps it; when that is taken, the source port moves."""
    if nat.kind == "dst":
        if nat.min_port:
            for port in _turn(nat.min_port, nat.max_port, start):
                yield "sport", port
        yield from (("dport", port) for port in _same_class(key.sport))
    elif nat.min_port:
        yield from (("dport", port) for port in _turn(nat.min_port, nat.max_port, start))
    else:
        yield from (("dport", port) for port in _same_class(key.sport))


def _turn(low: int, high: int, start: int) -> Iterator[int]:
    size = high - low + 1
    for step in range(min(size, MAX_PORT_TRIES)):
        yield low + (start + step) % size


def _class_of(number: int) -> tuple[int, int]:
    return (1, 511) if number < 512 else (600, 1023) if number < 1024 else (1024, 65_535)


def _same_class(port: int) -> Iterator[int]:
    low, high = _class_of(port)
    yield port
    size = high - low + 1
    for step in range(size):
        yield low + (port - low + step) % size


def translate_packet(
    packet: bytearray,
    headers: Headers,
    wanted: Tuple,
    action: int,
    inner: int,
    partial: Offload | None,
) -> None:
    """Rewrite source or destination (`action`: NAT_SRC or NAT_DST) and both ports of `packet` to
    those of the tuple `wanted`. `inner` is where an ICMP error quotes the packet to be translated
    back, or -1; `partial` the offload of a packet whose checksum is left to the device."""
    quoted = parse_quoted(packet, inner, headers) if inner >= 0 else None
    is_source = action == NAT_SRC
    if quoted is not None:
        _translate_quoted(packet, headers, quoted, wanted, is_source)
    _set_address(packet, headers, wanted.src if is_source else wanted.dst, is_source)
    if quoted is None and not is_icmp(wanted):
        edit.set_ports(packet, headers, src=wanted.sport, dst=wanted.dport)
    elif quoted is None:
        _set_identifier(packet, headers.l4, identifier(wanted))
    if partial is not None:
        reset_partial_checksum(packet, headers, partial)


def _set_address(packet: bytearray, headers: Headers, value: int, is_source: bool) -> None:
    is_ipv4 = headers.dl_type == ETH_TYPE_IP
    address = value.to_bytes(4 if is_ipv4 else 16, "big")
    setter = edit.set_ipv4 if is_ipv4 else edit.set_ipv6
    if is_source:
        setter(packet, headers, src=address)
    else:
        setter(packet, headers, dst=address)


def _set_identifier(packet: bytearray, l4: int, number: int) -> None:
    """Give an ICMP query at `l4` its identifier."""
    old, new = bytes(packet[l4 + 4 : l4 + 6]), number.to_bytes(2, "big")
    if old != new:
        packet[l4 + 4 : l4 + 6] = new
        _adjust(packet, l4 + 2, old, new)


#: Offset of the checksum in a transport header that covers the addresses.
_CHECKSUM_AT: Final = {IPPROTO_TCP: 16, IPPROTO_UDP: 6, IPPROTO_ICMPV6: 2}


def _translate_quoted(
    packet: bytearray, outer: Headers, quoted: Headers, wanted: Tuple, is_source: bool
) -> None:
    """The quoted packet went the other way: its destination is what the error's source is. All
    checksums follow by the difference, those inside if they are in what is quoted."""
    l3, l4 = quoted.l3, quoted.l4
    before = bytes(packet[outer.l4 : outer.end])
    size = 4 if quoted.dl_type == ETH_TYPE_IP else 16
    at = l3 + (12 if size == 4 else 8) + (size if is_source else 0)
    address = (wanted.src if is_source else wanted.dst).to_bytes(size, "big")
    old = bytes(packet[at : at + size])
    packet[at : at + size] = address
    if size == 4:
        _adjust(packet, l3 + 10, old, address)
    if wanted.proto in _WITH_PORTS and outer.end - l4 >= 4:
        ports = (wanted.dport << 16 | wanted.sport).to_bytes(4, "big")
        old += packet[l4 : l4 + 4]
        packet[l4 : l4 + 4] = ports
        address += ports
    if is_icmp(wanted) and outer.end - l4 >= 6:
        _set_identifier(packet, l4, identifier(wanted))
    at = l4 + _CHECKSUM_AT.get(quoted.proto, outer.end)
    if at + 2 <= outer.end and (quoted.proto != IPPROTO_UDP or edit.get_word(packet, at)):
        _adjust(packet, at, old, address)
    after = bytes(packet[outer.l4 : outer.end])
    if len(before) & 1:
        before, after = before + b"\0", after + b"\0"
    _adjust(packet, outer.l4 + 2, before, after)


def _adjust(packet: bytearray, at: int, old: bytes, new: bytes) -> None:
    """Correct the checksum at `at` for bytes that changed."""
    edit.put_word(packet, at, update_checksum(edit.get_word(packet, at), old, new))


def reversed_action(action: int) -> int:
    """What undoes an action in answers."""
    return {NAT_SRC: NAT_DST, NAT_DST: NAT_SRC}.get(action, 0)
