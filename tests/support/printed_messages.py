"""What Debian's `ovs-ofctl ofp-parse` prints of messages, one by one.

All go into one file; between two messages stands an echo request that tells their texts apart.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.support.peers import peer_environment

MARK = bytes((1, 2, 0, 8, 0xDE, 0xAD, 0xBE, 0xEF))
MARK_TEXT = "OFPT_ECHO_REQUEST (xid=0xdeadbeef): 0 bytes of payload\n"


def printed_by_peer(directory: Path, sent: Iterable[bytes], *options: str) -> list[str]:
    file = directory / "messages"
    file.write_bytes(b"".join(data + MARK for data in sent))
    done = subprocess.run(
        ["ovs-ofctl", "-vconsole:off", *options, "ofp-parse", str(file)],
        capture_output=True, check=True, env=peer_environment(directory),
    )  # fmt: skip
    texts = done.stdout.decode("utf-8", "replace").split(MARK_TEXT)
    assert texts.pop() == ""
    return texts
