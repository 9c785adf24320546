"""`ovs-ofctl parse-actions` and `parse-instructions`, which read bytes from standard input, say the
same as Debian's of actions of all kinds in every version. What is wrong is refused by both, if not
always for the same reason, and ends neither."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest
from tests.support.action_corpus import KEYWORDS, LATE, Maker
from tests.support.peers import peer_environment
from tests.support.switches import own_tools

from netloom.base.errors import NetloomError
from netloom.openflow.action_encode import encode_actions, encode_instructions
from netloom.openflow.flow_text import parse_flow_mod

pytestmark = pytest.mark.interop

VERSIONS = ("OpenFlow10", "OpenFlow11", "OpenFlow12", "OpenFlow13", "OpenFlow14", "OpenFlow15")
N_EACH = 6
#: ONF's action for OpenFlow 1.3 and 1.4 that copies bits, which no text asks for.
COPY_FIELD = bytes.fromhex("ffff00204f4e46000c8000000020000000000000800016048000180400000000")
SEED = 20261122


def right(version: int, instructions: bool) -> list[bytes]:
    """Bytes of actions, or of instructions, of all kinds that the version has."""
    maker = Maker(SEED + version)
    encode = encode_instructions if instructions and version > 1 else encode_actions
    found = []
    for actions in texts(maker):
        try:
            found.append(bytes(encode(actions, version)))
        except NetloomError:
            continue
    copy = b"\0\4" + (8 + len(COPY_FIELD)).to_bytes(2, "big") + bytes(4) + COPY_FIELD
    return [*found, copy if instructions and version > 1 else COPY_FIELD]


def texts(maker: Maker) -> list[tuple]:
    found = []
    for keyword in KEYWORDS:
        for _ in range(N_EACH):
            text = maker.make(keyword)
            if any(name in text for name in LATE):
                continue
            try:
                found.append(parse_flow_mod(f"tcp,actions={text}", 0)[0].actions)
            except NetloomError:
                continue
    return found


def wrong(data: bytes, chance: random.Random) -> bytes:
    """The same with a bit that is not as it was, or without its end."""
    if chance.random() < 0.2:
        return data[: chance.randrange(1, len(data))]
    broken = bytearray(data)
    broken[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(broken)


def answers(program: str, environment: dict[str, str], command: str, name: str, lines: str):
    done = subprocess.run(
        [program, "-vconsole:off", command, name], input=lines, capture_output=True, text=True,
        env=environment, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr, done.stdout.split("\n\n")


@pytest.mark.parametrize("command", ["parse-actions", "parse-instructions"])
@pytest.mark.parametrize("name", VERSIONS)
def test_bytes_of_actions_are_read_and_written_alike(tmp_path: Path, name: str, command: str):
    chance = random.Random(SEED)
    good = [
        data for data in right(VERSIONS.index(name) + 1, command == "parse-instructions") if data
    ]
    sent = [*good, *(wrong(data, chance) for data in good for _ in range(2))]
    lines = "# actions\n\n" + "".join(f"{data.hex(' ')} # {n}\n" for n, data in enumerate(sent))
    tools = own_tools(tmp_path / "bin")
    environment = peer_environment(tmp_path)
    ours = answers(f"{tools.path[0]}/ovs-ofctl", environment, command, name, lines)
    theirs = answers("ovs-ofctl", environment, command, name, lines)
    assert ours[:2] == theirs[:2]
    differences = [
        (data.hex(), expected, found)
        for data, expected, found in zip(good, theirs[2], ours[2], strict=False)
        if found != expected
    ]
    assert len(ours[2]) == len(theirs[2]) == len(sent) + 1
    assert differences == []
    assert len(good) > 50


@pytest.mark.parametrize("command", ["parse-actions", "parse-instructions"])
@pytest.mark.parametrize("lines", ["0\n", "zz\n", "0x00\n", "00 0\n", "\n", "# 0\n", "00 # 0\n"])
def test_odd_lines_get_the_same_answer(tmp_path: Path, command: str, lines: str):
    tools = own_tools(tmp_path / "bin")
    environment = peer_environment(tmp_path)
    ours = answers(f"{tools.path[0]}/ovs-ofctl", environment, command, "OpenFlow13", lines)
    assert ours == answers("ovs-ofctl", environment, command, "OpenFlow13", lines)
