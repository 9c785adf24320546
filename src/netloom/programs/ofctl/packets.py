"""Commands about packets: from flows, from files, from the standard input."""

from __future__ import annotations

import sys

from netloom.base.errors import ProtocolError
from netloom.flow.extract import extract_key
from netloom.flow.fields import SLOT, VLAN_CFI
from netloom.flow.key import MAX_VLANS
from netloom.flow.ports import ANY
from netloom.flow.print import format_flow
from netloom.openflow.message_text import Style, bare_hex_dump, format_message
from netloom.openflow.number_text import atoi
from netloom.openflow.text_packets import packet_text
from netloom.packet.pcap import PcapReader, format_pcap_header, format_pcap_packet
from netloom.programs.ofctl.dumps import in_color
from netloom.programs.ofctl.options import PROGRAM, Fatal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from netloom.programs.ofctl import Context

#: What the C library calls a file that is no pcap file, and its number.
_EPROTO, _EPROTO_TEXT = 71, "Protocol error"
_EPERM_TEXT = "Operation not permitted"
#: Exit status of a file that ended too early.
_EOF_STATUS = 255
_READ_BYTES = 65535


# From flows


def compose_packet(context: Context) -> int:
    """The command `compose-packet FLOW [PAYLOAD]`; status 1 if the packet has another flow."""
    import time

    from netloom.flow.compose import DEFAULT_PAYLOAD, compose_packet
    from netloom.flow.text import parse_flow

    args = context.args
    if args.pcap and sys.stdout.isatty():
        raise Fatal("not writing pcap data to stdout; redirect to a file or pipe to tcpdump "
                    f"instead ({_EPERM_TEXT})")  # fmt: skip
    key = parse_flow(context.operands[0])
    payload = DEFAULT_PAYLOAD
    if len(context.operands) > 1:
        text = context.operands[1]
        try:
            payload = bytes.fromhex("".join(text.split()))
        except ValueError:
            raise Fatal(f"{text}: trailing garbage in packet data") from None
    if SLOT["vlan_tci"].get(key) & VLAN_CFI and not SLOT["vlan_tpid"].get(key):
        key = SLOT["vlan_tpid"].put(key, 0x8100)
    packet = compose_packet(key, payload=payload)
    if args.bad_checksum:
        packet = _spoil_checksum(packet)
    if args.pcap:
        sys.stdout.flush()
        now_ms = int(time.time() * 1000)
        sys.stdout.buffer.write(format_pcap_header() + format_pcap_packet(packet, now_ms))
    elif args.bare:
        sys.stdout.write(packet.hex() + "\n")
    else:
        sys.stdout.write(bare_hex_dump(packet))
    return _compare(key, packet)


def _compare(key: int, packet: bytes) -> int:
    found = extract_key(packet, ANY << SLOT["in_port"].shift, vlan_limit=MAX_VLANS)
    if found == key:
        return 0
    sys.stdout.flush()
    sys.stderr.write(
        f"specified and extracted flows differ:\nspecified: {format_flow(key)}\n"
        f"extracted: {format_flow(found)}"
    )
    return 1


def _spoil_checksum(packet: bytes) -> bytes:
    """`packet` with a wrong checksum in its IPv4 header, if it has one: one bit is another."""
    from netloom.packet.headers import IPV4_LEN
    from netloom.packet.parse import parse

    l3 = parse(packet).l3
    if l3 < 0 or len(packet) < l3 + IPV4_LEN or packet[l3] >> 4 != 4:
        return packet
    data = bytearray(packet)
    data[l3 + 10] ^= 1
    return bytes(data)


def parse_packet(context: Context) -> None:
    """The command `parse-packet`: one packet, in bytes, from the standard input."""
    sys.stdout.write(packet_text(sys.stdin.buffer.read(_READ_BYTES)))


# From files


def _open(path: str) -> tuple[PcapReader | None, int, str]:
    """A file of packets, or what is wrong with it as a number and a text."""
    from netloom.packet.pcap import log

    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        log.warn("%s: failed to open pcap file for reading (%s)", path, error.strerror)
        return None, error.errno or 1, error.strerror or ""
    try:
        return PcapReader(data), 0, ""
    except EOFError:
        return None, _EOF_STATUS, "End of file"
    except ProtocolError:
        return None, _EPROTO, _EPROTO_TEXT


def _complain(text: str) -> None:
    sys.stdout.flush()
    sys.stderr.write(f"{PROGRAM}: {text}\n")


def parse_pcap(context: Context) -> int:
    """The command `parse-pcap FILE...`: the flow of each packet. The status is that of the last
    file that could not be read."""
    status = 0
    for path in context.operands:
        reader, failure, reason = _open(path)
        if reader is None:
            status = failure
            _complain(f"{path}: open failed ({reason})")
            continue
        try:
            for _, packet in reader.packets():
                key = extract_key(packet, ANY << SLOT["in_port"].shift, vlan_limit=MAX_VLANS)
                sys.stdout.write(format_flow(key) + "\n")
        except ProtocolError:
            status = _EPROTO
            _complain(f"{path}: read failed ({_EPROTO_TEXT})")
    return status


# OpenFlow in files


class _Stream:
    """One direction of a TCP connection, put together from segments that come in order."""

    def __init__(self, sequence: int) -> None:
        self.sequence = sequence
        self.data = b""

    def messages(self) -> Iterator[bytes]:
        """The whole messages that are there."""
        while len(self.data) >= 8:
            length = int.from_bytes(self.data[2:4], "big")
            if not 8 <= length <= len(self.data):
                return
            yield self.data[:length]
            self.data = self.data[length:]


_FIN, _SYN, _RST = 1, 2, 4
_OPENFLOW_PORTS = (6633, 6653)


class _Streams:
    """The TCP connections of a capture, each direction by itself, named by their ends."""

    def __init__(self) -> None:
        self._streams: dict[tuple[int, int, int, int], _Stream] = {}

    def take(self, key: int, packet: bytes) -> _Stream | None:
        """The stream that the packet with the flow `key` adds to, or None."""
        from netloom.packet.parse import parse

        headers = parse(packet)
        if headers.l4 < 0 or headers.l4 + 20 > len(packet):
            return None
        start = headers.l4 + (packet[headers.l4 + 12] >> 4) * 4
        end = headers.l3 + int.from_bytes(packet[headers.l3 + 2 : headers.l3 + 4], "big")
        payload = packet[start:end]
        flags = packet[headers.l4 + 13]
        sequence = int.from_bytes(packet[headers.l4 + 4 : headers.l4 + 8], "big")
        name = (SLOT["nw_src"].get(key), SLOT["nw_dst"].get(key), SLOT["tp_src"].get(key),
                SLOT["tp_dst"].get(key))  # fmt: skip
        stream = self._streams.get(name)
        if stream is None or flags & _SYN:
            stream = _Stream(sequence + 1 & 0xFFFFFFFF if flags & _SYN else sequence)
            self._streams[name] = stream
        if flags & (_FIN | _RST):
            del self._streams[name]
            return None
        if sequence != stream.sequence:
            return None
        stream.data += payload
        stream.sequence = sequence + len(payload) & 0xFFFFFFFF
        return stream


def ofp_parse_pcap(context: Context) -> None:
    """The command `ofp-parse-pcap FILE [PORT...]`."""
    path = context.operands[0]
    reader, _, reason = _open(path)
    if reader is None:
        raise Fatal(f"{path}: open failed ({reason})")
    ports = tuple(atoi(text) for text in context.operands[1:]) or _OPENFLOW_PORTS
    streams = _Streams()
    first = True
    try:
        for wall_ms, packet in reader.packets():
            for text in _openflow_text(context, streams, wall_ms, packet, ports):
                sys.stdout.write(text if first else "\n" + text)
                first = False
    except ProtocolError:
        # What can be read has been printed, and the log says why there is no more.
        return


def _openflow_text(
    context: Context, streams: _Streams, wall_ms: int, packet: bytes, ports: tuple[int, ...]
) -> Iterator[str]:
    """The messages that `packet` completes."""
    key = extract_key(packet, vlan_limit=MAX_VLANS)
    if SLOT["dl_type"].get(key) != 0x0800 or SLOT["nw_proto"].get(key) != 6:
        return
    ends = SLOT["tp_src"].get(key), SLOT["tp_dst"].get(key)
    if not set(ends) & set(ports):
        return
    stream = streams.take(key, packet)
    if stream is None:
        return
    source, destination = (
        ".".join(map(str, SLOT[name].get(key).to_bytes(4, "big"))) for name in ("nw_src", "nw_dst")
    )
    stamp = _time_of_day(wall_ms) if context.args.timestamp else ""
    for message in stream.messages():
        text = in_color(context, format_message(message, Style(context.args.verbosity + 1)))
        yield f"{stamp}{source}.{ends[0]} > {destination}.{ends[1]}:\n{text}"


def _time_of_day(wall_ms: int) -> str:
    seconds, ms = divmod(wall_ms, 1000)
    minutes, second = divmod(seconds % 86400, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{second:02d}.{ms:03d} "
