"""What tables have counted and can do: any bytes of it are printed as Debian's `ovs-ofctl` prints
them."""

from __future__ import annotations

import random
import subprocess

import pytest
from tests.support.peers import peer_environment

from netloom.openflow.message_text import Style, format_message

pytestmark = pytest.mark.interop

MARK = bytes((1, 2, 0, 8, 0xDE, 0xAD, 0xBE, 0xEF))
MARK_TEXT = "OFPT_ECHO_REQUEST (xid=0xdeadbeef): 0 bytes of payload\n"
#: Version -> bytes of an entry of OFPST_TABLE, which has features in it.
SIZES = {1: 64, 2: 88, 3: 128, 4: 24, 5: 24}


def table(chance: random.Random, version: int, number: int, before: bytes) -> bytes:
    """The entry of one table: chance's, nothing, or that of the table before."""
    size = SIZES[version]
    kind = chance.randrange(3)
    entry = bytearray(before if kind == 0 and before else bytes(size))
    if kind == 1:
        entry[:] = chance.randbytes(size)
    entry[0] = number
    if version < 4:
        start = 4 if version == 1 else 8
        entry[start : start + 32] = chance.choice((b"", b"classifier")).ljust(32, b"\0")
    return bytes(entry)


def replies() -> list[bytes]:
    chance = random.Random(20261121)
    found = []
    for version in SIZES:
        head = bytes((version, 17 if version == 1 else 19, 0, 0)) + bytes(4) + b"\0\3\0\0"
        head += b"" if version == 1 else bytes(4)
        for _ in range(80):
            data = bytearray(head)
            entry = b""
            for number in range(chance.randint(1, 5)):
                entry = table(chance, version, number, entry)
                data += entry
            data[2:4] = len(data).to_bytes(2, "big")
            found.append(bytes(data))
    return found


def test_statistics_of_tables_are_printed_alike(tmp_path):
    sent = replies()
    file = tmp_path / "messages"
    file.write_bytes(b"".join(data + MARK for data in sent))
    done = subprocess.run(
        ["ovs-ofctl", "-vconsole:off", "ofp-parse", str(file)], capture_output=True, check=True,
        env=peer_environment(tmp_path), text=True,
    )  # fmt: skip
    expected = done.stdout.split(MARK_TEXT)[:-1]
    found = [format_message(data, Style(2)) for data in sent]
    assert len(expected) == len(found)
    for theirs, ours in zip(expected, found):
        assert ours == theirs
