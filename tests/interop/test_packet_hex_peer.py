"""ovs-pcap and ovs-tcpundump print what Debian's print."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest
from tests.support.peers import peer_tools
from tests.support.switches import own_tools

from netloom.lab.switch import Programs

pytestmark = pytest.mark.interop
#: Pieces of lines, of which some make dumps of tcpdump.
PIECES = [
    "\t",
    " ",
    "  ",
    "0x0000:",
    "0x0010:",
    "0x00A0:",
    "1234",
    "ab",
    "ABCDEF",
    "1",
    ".",
    "text",
]
HEADER = bytes.fromhex("d4c3b2a102000400") + bytes(8) + bytes.fromhex("ffff000001000000")


def answer(tools: Programs, name: str, *args: str, stdin: str = "") -> tuple[int, str, list[str]]:
    """Status, output, and the last line of the errors, all by the tool's name."""
    program = next(path for part in tools.path if (path := Path(part, name)).exists())
    done = subprocess.run(
        [program, *args], input=stdin, text=True, capture_output=True, check=False, timeout=60
    )
    errors = done.stderr.replace(str(program), name).splitlines()[-1:]
    return done.returncode, done.stdout.replace(str(program), name), errors


def test_dumps_of_any_shape(tmp_path: Path) -> None:
    peer, own = peer_tools(), own_tools(tmp_path / "tools")
    chance = random.Random(26)
    lines = [f"\t0x{n % 3 * 16:04x}:  {n:04x} {n * 7:04x}" for n in range(200)]
    lines += ["".join(chance.choices(PIECES, k=chance.randint(0, 8))) for _ in range(3000)]
    chance.shuffle(lines)
    text = "\n".join(lines)
    theirs = answer(peer, "ovs-tcpundump", stdin=text)
    assert theirs[1].count("\n") > 100
    assert answer(own, "ovs-tcpundump", stdin=text) == theirs


@pytest.mark.parametrize("args", ["", "-h", "--hel", "-x", "--foo", "a", "--help=3", "a --version"])
def test_command_lines_of_tcpundump(tmp_path: Path, args: str) -> None:
    own = own_tools(tmp_path / "tools")
    mine = answer(own, "ovs-tcpundump", *args.split())
    theirs = answer(peer_tools(), "ovs-tcpundump", *args.split())
    if "version" in args:
        theirs = (theirs[0], theirs[1].replace("3.1.0", mine[1].split()[-1]), theirs[2])
    assert mine == theirs


@pytest.mark.parametrize(
    "data",
    [
        b"", HEADER[:20], b"x" * 100, HEADER, HEADER + bytes(5), HEADER + bytes(16) * 3,
        HEADER + bytes(8) + b"\3\0\0\0\3\0\0\0abc", HEADER + bytes(8) + b"\4\0\0\0\3\0\0\0abc",
        bytes.fromhex("a1b23c4d") + HEADER[4:] + bytes(8) + b"\0\0\0\2\0\0\0\2ab",
    ],
)  # fmt: skip
def test_files_whole_and_broken(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "packets"
    file.write_bytes(data)
    peer, own = peer_tools(), own_tools(tmp_path / "tools")
    assert answer(own, "ovs-pcap", str(file)) == answer(peer, "ovs-pcap", str(file))
