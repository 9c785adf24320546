"""ovs-pcap and ovs-tcpundump: what files and tcpdump's output say, in hexadecimal digits."""

from __future__ import annotations

import io
from pathlib import Path
from struct import Struct

import pytest

from netloom.programs.outcome import Fatal
from netloom.programs.packet_hex import join_dumps, main, read_packets

MAGICS = {
    b"\xa1\xb2\xc3\xd4": ">", b"\xa1\xb2\x3c\x4d": ">",
    b"\xd4\xc3\xb2\xa1": "<", b"\x4d\x3c\xb2\xa1": "<",
}  # fmt: skip


def pcap(magic: bytes, *packets: bytes) -> bytes:
    order = MAGICS[magic]
    data = magic + Struct(order + "HHIIII").pack(2, 4, 0, 0, 65535, 113)
    for packet in packets:
        data += Struct(order + "IIII").pack(1, 2, len(packet), len(packet) + 5) + packet
    return data


@pytest.mark.parametrize("magic", MAGICS, ids=[magic.hex() for magic in MAGICS])
def test_packets_of_either_byte_order_and_unit_of_time(magic: bytes) -> None:
    assert list(read_packets(pcap(magic, b"abc", b"", b"d"))) == [b"abc", b"", b"d"]


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        (2, "end of file reading pcap packet data"),
        (10, "end of file within pcap record header"),
        (30, "end of file reading pcap header"),
    ],
)
def test_a_file_that_is_cut_off_says_where(cut: int, message: str) -> None:
    data = pcap(b"\xd4\xc3\xb2\xa1", b"abc")
    with pytest.raises(Fatal, match=message):
        list(read_packets(data[: len(data) - cut]))


def test_a_file_of_another_kind_is_named_by_its_magic() -> None:
    with pytest.raises(Fatal, match=r"^bad magic 2021161080 reading"):
        list(read_packets(b"x" * 24))


@pytest.mark.parametrize(
    ("lines", "packets"),
    [
        (["\t0x0000:  0011 2233", "\t0x0010:  44 5"], ["0011223344"]),
        (["\t0x0000:  1234", "\t0x0000:  5678"], ["1234", "5678"]),
        (["\t0x0000:  1234", "text", "\t0x0010:  5678"], ["1234", "5678"]),
        (["\t0x0000:  1234 56  .. text", " 0x10:  ABcd"], ["123456ABcd"]),
        (["\t0x0000: 1234", "0x0000:  1234", "\t0x0000:   1234", "a\t0x0000:  1234"], []),
        (["\t0x0000:  12345 6789", "\t0x0010:  1 34"], ["1234"]),
    ],
)
def test_lines_of_a_dump_make_packets(lines: list[str], packets: list[str]) -> None:
    assert list(join_dumps([line + "\n" for line in lines])) == packets


def test_both_tools_print_packets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "p.pcap"
    file.write_bytes(pcap(b"\xa1\xb2\xc3\xd4", b"abc"))
    assert main(["ovs-pcap", str(file)]) == 0
    monkeypatch.setattr("sys.stdin", io.StringIO("\t0x0000:  1234\n"))
    assert main(["ovs-tcpundump"]) == 0
    assert capsys.readouterr().out == "616263\n1234\n"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["ovs-pcap"], "exactly 1 non-option argument required (use --help for help)"),
        (["ovs-pcap", "a", "b"], "exactly 1 non-option argument required (use --help for help)"),
        (["ovs-pcap", "--foo"], "option --foo not recognized"),
        (["ovs-tcpundump", "-x"], "option -x not recognized"),
        (["ovs-tcpundump", "a"], "non-option argument not supported (use --help for help)"),
        (["ovs-tcpundump", "--help=3"], "option --help must not have an argument"),
    ],
)
def test_wrong_command_lines(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 1
    assert capsys.readouterr().err == f"{argv[0]}: {message}\n"
