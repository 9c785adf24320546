"""Connections that others announce: FTP's data connections (RFC 959, RFC 2428) and TFTP's answers
(RFC 1350).

A connection that was committed with `alg=` is listened to. What it announces is *expected*: the
first packet of such a connection is `rel` as well as `new`, inherits mark and label, and is
translated as its parent is. A source port is never known in advance.

Where the parent is translated, so is an address that stands in FTP's text. That may change the
length of what was sent, and from then on the numbers of everything that follows (`Connection.skew`,
in the direction `skews_replies`): both sides' numbers are kept right by `Adjustment`.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from netloom.datapath.userspace.conntrack.connection import NAT_DST, NAT_SRC, Connection
from netloom.datapath.userspace.conntrack.tuples import Tuple
from netloom.flow.address import format_ipv4, format_ipv6, parse_ipv6
from netloom.packet import edit
from netloom.packet.checksum import checksum, transport_checksum
from netloom.packet.headers import ETH_TYPE_IP, IPPROTO_TCP, IPPROTO_UDP
from netloom.packet.parse import Headers

#: Bytes of a message that are looked at.
_MOST: Final = 128
_NUMBERS: Final = rb"(\d{1,3},\d{1,3},\d{1,3},\d{1,3}),(\d{1,3}),(\d{1,3})"
_PORT: Final = re.compile(rb"PORT +" + _NUMBERS, re.IGNORECASE)
_PASSIVE: Final = re.compile(rb"227 [^\d\r\n]*" + _NUMBERS)
_EPRT: Final = {
    False: re.compile(rb"EPRT +\|1\|(\d{1,3}(?:\.\d{1,3}){3})\|(\d{1,5})\|", re.IGNORECASE),
    True: re.compile(rb"EPRT +\|2\|([0-9a-fA-F:.]+)\|(\d{1,5})\|", re.IGNORECASE),
}
_EPSV: Final = re.compile(rb"229 [^|\r\n]*\|\|\|(\d{1,5})\|")
#: Does who speaks answer? -> how announcements begin that are of either family (RFC 2428), and of
#: IPv4 alone.
_BEGINNINGS: Final = {False: (b"EPRT", b"PORT"), True: (b"229", b"227")}


class Announced(NamedTuple):
    """A port, and where which address stands in the message (`end` 0: it names none), between
    commas or as usual."""

    port: int
    address: int = 0
    start: int = 0
    end: int = 0
    with_commas: bool = False


class Adjustment(NamedTuple):
    """How to rewrite a control packet: what to add to its numbers, and bytes of its data to
    replace."""

    seq: int = 0
    ack: int = 0
    start: int = 0
    end: int = 0
    text: bytes = b""


class Expected(NamedTuple):
    """What is known of an announced connection: whose it is, and the address that answers have
    in place of their destination (`of_destination`) or source."""

    parent: Tuple
    mark: int
    label: int
    address: int
    of_destination: bool

    def translate(self, connection: Connection) -> None:
        """Have a connection translated as its parent is."""
        if self.of_destination:
            connection.reverse = connection.reverse._replace(dst=self.address)
            connection.nat = NAT_SRC
        else:
            connection.reverse = connection.reverse._replace(src=self.address)
            connection.nat = NAT_DST


class Expectations:
    """All that is expected, by tuple (source port 0). It lasts as long as the parent does."""

    def __init__(self) -> None:
        self._table: dict[Tuple, Expected] = {}
        self._of: dict[Connection, list[Tuple]] = {}

    def __len__(self) -> int:
        return len(self._table)

    def items(self) -> list[tuple[Tuple, Expected]]:
        return list(self._table.items())

    def find(self, key: Tuple) -> Expected | None:
        return self._table.get(key._replace(sport=0)) if self._table else None

    def expect(self, parent: Connection, port: int, is_reply: bool) -> None:
        """A connection to `port` of the side that did not announce it is not expected: only one
        towards the side that did."""
        key, reverse = parent.key, parent.reverse
        is_dnat = parent.nat == NAT_DST
        if is_reply:
            source, target = key.src, key.dst
            address, of_destination = (reverse.src, False) if is_dnat else (reverse.dst, True)
        else:
            source, target = reverse.src, reverse.dst
            address, of_destination = (key.dst, True) if is_dnat else (key.src, False)
        wanted = key._replace(src=source, dst=target, sport=0, dport=port)
        if wanted not in self._table:
            self._table[wanted] = Expected(
                key, parent.mark, parent.label, address, of_destination
            )  # fmt: skip
            self._of.setdefault(parent, []).append(wanted)

    def forget(self, parent: Connection) -> None:
        for wanted in self._of.pop(parent, ()):
            del self._table[wanted]


def read_ftp(message: bytes, is_ipv6: bool, is_reply: bool) -> Announced | ValueError | None:
    """What an FTP message announces; an error if it should but is malformed."""
    extended, plain = _BEGINNINGS[is_reply]
    head = message[:4].upper()
    is_plain = not is_ipv6 and head.startswith(plain)
    if not is_plain and not head.startswith(extended):
        return None
    if is_plain:
        found = (_PORT, _PASSIVE)[is_reply].match(message)
    else:
        found = _EPSV.match(message) if is_reply else _EPRT[is_ipv6].match(message)
    if found is None:
        return ValueError("malformed announcement")
    address: int | None = 0
    if not is_plain:
        port = int(found[found.lastindex or 1])
        if not is_reply:
            text = found[1].decode()
            address = parse_ipv6(text) if is_ipv6 else _parse_dotted(text)
    else:
        numbers = [int(word) for word in (*found[1].split(b","), found[2], found[3])]
        if max(numbers) > 255:
            return ValueError("number above 255")
        address = int.from_bytes(bytes(numbers[:4]), "big")
        port = numbers[4] << 8 | numbers[5]
    if address is None or not 0 < port < 65_536:
        return ValueError("port or address out of range")
    if is_reply and not is_plain:
        return Announced(port)
    return Announced(port, address, found.start(1), found.end(1), is_plain)


def _parse_dotted(text: str) -> int | None:
    """Four numbers, each a byte."""
    numbers = [int(word) for word in text.split(".")]
    return int.from_bytes(bytes(numbers), "big") if max(numbers) < 256 else None


def listen(
    expectations: Expectations,
    connection: Connection,
    packet: bytes | bytearray,
    headers: Headers,
    *,
    is_reply: bool,
    may_rewrite: bool,
) -> Adjustment | ValueError | None:
    """Hear what a packet of a connection with a helper says. Returns how to rewrite it, None for
    not at all, or an error: the packet is invalid then. `may_rewrite`: it is translated, too."""
    key = connection.key
    if connection.helper == "tftp" and key.proto == IPPROTO_UDP:
        expectations.expect(connection, connection.reverse.dport, is_reply)
        return None
    if connection.helper != "ftp" or key.proto != IPPROTO_TCP:
        return None
    adjustment = _skewed(connection, is_reply) if may_rewrite else None
    at = headers.l4 + (packet[headers.l4 + 12] >> 4 << 2)
    message = bytes(packet[at : min(headers.end, at + _MOST)])
    announced = read_ftp(message, headers.dl_type != ETH_TYPE_IP, is_reply)
    if isinstance(announced, ValueError):
        return announced
    if announced is None:
        return adjustment
    if announced.end:
        old = connection.reverse.src if is_reply else key.src
        new = key.dst if is_reply else connection.reverse.dst
        if announced.address not in (old, new):
            # Nobody may have others connected to.
            return ValueError("address of another host")
        if new != announced.address and may_rewrite:
            text = _format(new, headers.dl_type == ETH_TYPE_IP, announced.with_commas)
            adjustment = (adjustment or Adjustment())._replace(
                start=at + announced.start, end=at + announced.end, text=text
            )
            connection.skews_replies = is_reply
            connection.skew += len(text) - (announced.end - announced.start)
    expectations.expect(connection, announced.port, is_reply)
    return adjustment


def _skewed(connection: Connection, is_reply: bool) -> Adjustment | None:
    skew = connection.skew
    if not skew:
        return None
    return Adjustment(seq=skew) if is_reply == connection.skews_replies else Adjustment(ack=-skew)


def _format(address: int, is_ipv4: bool, with_commas: bool) -> bytes:
    if is_ipv4:
        text = format_ipv4(address)
        return (text.replace(".", ",") if with_commas else text).encode()
    return format_ipv6(address).encode()


def adjust_packet(packet: bytearray, headers: Headers, how: Adjustment) -> None:
    """Rewrite a TCP packet as `how` says: numbers, data, lengths and checksums."""
    l3, l4 = headers.l3, headers.l4
    for offset, by in ((4, how.seq), (8, how.ack)):
        at = l4 + offset
        number = int.from_bytes(packet[at : at + 4], "big") + by & 0xFFFFFFFF
        packet[at : at + 4] = number.to_bytes(4, "big")
    if how.end:
        packet[how.start : how.end] = how.text
        grown = len(how.text) - (how.end - how.start)
        headers.end += grown
        is_ipv4 = headers.dl_type == ETH_TYPE_IP
        at = l3 + (2 if is_ipv4 else 4)
        edit.put_word(packet, at, edit.get_word(packet, at) + grown)
        if is_ipv4:
            edit.put_word(packet, l3 + 10, 0)
            edit.put_word(packet, l3 + 10, checksum(packet[l3:l4]))
    _refresh_transport(packet, headers)


def _refresh_transport(packet: bytearray, headers: Headers) -> None:
    l3, l4 = headers.l3, headers.l4
    edit.put_word(packet, l4 + 16, 0)
    if headers.dl_type == ETH_TYPE_IP:
        src, dst = packet[l3 + 12 : l3 + 16], packet[l3 + 16 : l3 + 20]
    else:
        src, dst = packet[l3 + 8 : l3 + 24], packet[l3 + 24 : l3 + 40]
    segment = bytes(packet[l4 : headers.end])
    edit.put_word(packet, l4 + 16, transport_checksum(bytes(src), bytes(dst), IPPROTO_TCP, segment))
