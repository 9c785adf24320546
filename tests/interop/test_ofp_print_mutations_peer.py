"""Good messages made wrong by chance: Debian's `ovs-ofctl ofp-parse` and ours print the same of
what can be read, and name the same error."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.field_corpus import LATE
from tests.support.message_corpus import PROTOCOLS, XID, Maker
from tests.support.message_mutations import mutations
from tests.support.peers import peer_environment
from tests.support.printed_messages import printed_by_peer
from tests.support.switches import own_tools

from netloom.openflow.codec import encode_message
from netloom.openflow.message_table import ROWS
from netloom.openflow.message_text import Style, format_message
from netloom.openflow.messages_nx import CtFlush

pytestmark = pytest.mark.interop

#: Of each message, and the longest message that is taken.
EACH, LONGEST = 6, 2000


def messages(seed: int) -> Iterator[bytes]:
    for version, protocols in PROTOCOLS.items():
        rows = [row for row in ROWS.values() if row.numbers[version - 1]]
        for protocol in protocols:
            for name in (name for row in rows for name in (row.request, row.reply) if name):
                for chance in range(3):
                    message = Maker(3 * seed + chance, version, protocol).make(name)
                    # Marks and labels came with 3.2.
                    if not (
                        isinstance(message, CtFlush) and (message.mark[1] or message.labels[1])
                    ):
                        data = encode_message(message, XID, protocol)
                        if len(data) <= LONGEST:
                            yield data


#: What Debian's prints otherwise; docs/reference/differences.md says why.
REASONS = (
    # Statistics of OpenFlow 1.5 that are wrong in themselves.
    "<invalid>",
    # Fields whose value is taken for the mask, too.
    "gtpu_", "erspan_",
    # Arguments of bundle_load that do not count.
    "bundle_load(",
    # A masked set_field without any bit.
    "set_field:ANY",
)  # fmt: skip


def is_explained(theirs: str, ours: str) -> bool:
    if any(word in theirs or word in ours for word in REASONS):
        return True
    if LATE & set(re.split(r"\W+", ours)):
        return True
    if re.search(r"\w_\{\w+_\{", ours):
        # Names of fields of which it cuts off too much.
        return True
    if "NXT_CT_FLUSH" in theirs and re.search(r"mark=|labels=|BPC_BAD_LEN", ours):
        return True
    # Whether it is the field or its length that is wrong is left to a hash table.
    found = set(re.findall(r"OFPBAC_BAD_SET_\w+", theirs + ours))
    return found == {"OFPBAC_BAD_SET_LEN", "OFPBAC_BAD_SET_TYPE"}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_wrong_messages_are_printed_alike(tmp_path: Path, seed: int) -> None:
    sent = list(mutations(list(messages(seed)), seed, EACH))
    assert len(sent) > 9000
    style = Style(2)
    differences = [
        (data.hex(), theirs, ours)
        for data, theirs in zip(sent, printed_by_peer(tmp_path, sent), strict=True)
        if (ours := format_message(data, style)) != theirs and not is_explained(theirs, ours)
    ]
    assert differences == []


@pytest.mark.parametrize(
    "text",
    [
        "", "0", "01", "0x", "zz", "0100", "01 00 00 08 00 00 00 01", "0100000800000001",
        "010000080000000100", "01000009 00000001", "0100000700000001", "0100000000000001",
        "0100ffff00000001", "010000080000000", "01-00-00-08-00-00-00-01", "ff00000800000001",
        "0010000800000001", "0110000800000001", "01100012000000010000000000000000ff",
        "010e000800000001", "0104000800000001", "01040010000000010000232000000063",
        "0104001000000001deadbeef00000063", "0619000800000001", "06120010000000010063000000000000",
    ],
)  # fmt: skip
@pytest.mark.parametrize("verbosity", ["0", "2"])
def test_text_of_odd_bytes_is_printed_alike(tmp_path: Path, text: str, verbosity: str) -> None:
    command = ["ovs-ofctl", "-vconsole:off", "ofp-print", text, verbosity]
    results = []
    for program in (command, own_command(tmp_path, command)):
        done = subprocess.run(
            program, capture_output=True, check=False, env=peer_environment(tmp_path), text=True
        )
        results.append((done.returncode, done.stdout, done.stderr))
    assert results[1] == results[0]


def own_command(directory: Path, command: list[str]) -> list[str]:
    """`command` with the tool of this checkout."""
    tools = own_tools(directory / "bin")
    return [str(Path(tools.path[0]) / command[0]), *command[1:]]
