"""`ovs-pcap` and `ovs-tcpundump`: packets of a file, or of tcpdump's output, in hexadecimal digits
as `ofproto/trace` takes them (ovs-pcap(1), ovs-tcpundump(1))."""

from __future__ import annotations

import re
import sys
from getopt import GetoptError, gnu_getopt
from struct import Struct

from netloom.programs.help_text import version_text
from netloom.programs.outcome import Fatal, outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PCAP, TCPUNDUMP = "ovs-pcap", "ovs-tcpundump"

_OPTIONS_HELP = """
The following options are also available:
  -h, --help                  display this help message
  -V, --version               display version information
"""
PCAP_HELP = f"""\
{PCAP}: print pcap file packet data as hex
usage: {PCAP} FILE
where FILE is a PCAP file.
{_OPTIONS_HELP}"""
TCPUNDUMP_HELP = f"""\
{TCPUNDUMP}: print "tcpdump -xx" output as hex
usage: {TCPUNDUMP} < FILE
where FILE is output from "tcpdump -xx".
{_OPTIONS_HELP}"""

#: The first four bytes of a file -> the byte order of its numbers.
_ORDERS = {
    b"\xa1\xb2\xc3\xd4": ">", b"\xa1\xb2\x3c\x4d": ">",
    b"\xd4\xc3\xb2\xa1": "<", b"\x4d\x3c\xb2\xa1": "<",
}  # fmt: skip
_FILE_HEADER_BYTES = 24

#: A line of tcpdump's dump: where in the packet its bytes are, and the bytes by twos. Two spaces
#: stand in front of them; what follows the last is their text.
_DUMP_LINE = re.compile(r"\s+0x([0-9a-fA-F]+):  ((?:[0-9a-fA-F]{2,4} )*[0-9a-fA-F]{2,4})")


def _operands(argv: list[str], program: str, help_text: str) -> list[str] | None:
    """What is on the command line beside options; None if those asked for text, now printed."""
    try:
        options, operands = gnu_getopt(argv, "hV", ["help", "version"])
    except GetoptError as error:
        raise Fatal(error.msg) from None
    for option, _ in options:
        sys.stdout.write(help_text if option in ("-h", "--help") else version_text(program))
        return None
    return operands


def read_packets(data: bytes) -> Iterator[bytes]:
    """The packets of a pcap file, whatever their link type; `Fatal` where it is broken. Unlike
    `packet.pcap`, which reads what a switch can take, this takes packets of any kind and size."""
    if len(data) < _FILE_HEADER_BYTES:
        raise Fatal("end of file reading pcap header")
    order = _ORDERS.get(data[:4])
    if order is None:
        raise Fatal(
            f"bad magic {int.from_bytes(data[:4], 'little')} reading pcap file "
            "(expected 0xa1b2c3d4, 0xa1b23c4d, 0x4d3cb2a1 or 0xd4c3b2a1)"
        )
    header = Struct(order + "IIII")
    pos = _FILE_HEADER_BYTES
    while pos < len(data):
        if len(data) - pos < header.size:
            raise Fatal("end of file within pcap record header")
        size = header.unpack_from(data, pos)[2]
        pos += header.size
        packet = data[pos : pos + size]
        if len(packet) < size:
            raise Fatal("end of file reading pcap packet data")
        pos += size
        yield packet


def join_dumps(lines: Iterable[str]) -> Iterator[str]:
    """The packets in lines of `tcpdump -xx`. A packet ends where a line begins one anew, or is no
    part of a dump."""
    packet = ""
    for line in lines:
        found = _DUMP_LINE.match(line)
        if packet and (found is None or int(found[1], 16) == 0):
            yield packet
            packet = ""
        if found is not None:
            packet += found[2].replace(" ", "")
    if packet:
        yield packet


def _run_pcap(argv: list[str]) -> int:
    operands = _operands(argv, PCAP, PCAP_HELP)
    if operands is None:
        return 0
    if len(operands) != 1:
        raise Fatal("exactly 1 non-option argument required (use --help for help)")
    try:
        with open(operands[0], "rb") as file:
            data = file.read()
    except OSError as error:
        raise Fatal(f"{operands[0]}: {error.strerror}") from None
    for packet in read_packets(data):
        sys.stdout.write(packet.hex() + "\n")
    return 0


def _run_tcpundump(argv: list[str]) -> int:
    operands = _operands(argv, TCPUNDUMP, TCPUNDUMP_HELP)
    if operands is None:
        return 0
    if operands:
        raise Fatal("non-option argument not supported (use --help for help)")
    for packet in join_dumps(sys.stdin):
        sys.stdout.write(packet + "\n")
        sys.stdout.flush()
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv`, whose first word says which of the two; the exit status."""
    words = sys.argv if argv is None else argv
    if words[0].rpartition("/")[2] == PCAP:
        return outcome(PCAP, _run_pcap, words)
    return outcome(TCPUNDUMP, _run_tcpundump, words)


if __name__ == "__main__":
    sys.exit(main())
