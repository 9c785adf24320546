"""What a paused packet's packet-in carries is what Open vSwitch's carries, byte for byte."""

from __future__ import annotations

import pytest

from netloom.openflow.continuations import Continuation, decode_continuation, encode_continuation
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.flow_text import parse_flow_mod

#: From Debian's switch: two values on the stack, actions of two rules, an action set.
FROM_PEER = bytes.fromhex(
    "0000000080000014e8eb4e766449d5a0132387a25b88308b000000008001000600010000"
    "80010008000000078006001800000000000500100000000000090000000000008004000501000000"
    "80050010000000000000000000000055800600100000000000000008000400008004000500000000"
    "80050010000000000000000000000000800600100000000000000008000300008007002800000000"
    "000000080005"
    "0000ffff0018000023200007001f0001020400000000000000018008000800000001"
)


def test_the_peers_bytes_say_what_its_text_says() -> None:
    found = decode_continuation(FROM_PEER, 1)
    assert f"{found.bridge:032x}" == "764eebe8a0d54964a28723138b30885b"
    assert found.stack == ((7, 32), (1, 16))
    assert found.odp_port == 1
    assert [type(action).__name__ for action in found.actions] == [
        "UnrollXlate", "SetField", "UnrollXlate", "Output", "UnrollXlate", "Output",
    ]  # fmt: skip
    assert (found.actions[2].table_id, found.actions[2].cookie) == (1, 85)


def test_encoding_gives_the_peers_bytes_back() -> None:
    assert encode_continuation(decode_continuation(FROM_PEER, 1), 1) == FROM_PEER


@pytest.mark.parametrize("version", [1, 4, 6])
def test_what_is_encoded_is_decoded(version: int) -> None:
    actions = parse_flow_mod("ip actions=output:1,resubmit(,5),ct(commit)")[0].actions
    value = Continuation(1 << 100, ((5, 8),), 3, True, actions, actions[:1], 9)
    found = decode_continuation(encode_continuation(value, version), version)
    assert found.actions[1:] == actions
    assert (found.bridge, found.stack, found.mirrors, found.conntracked, found.odp_port) == (
        value.bridge, value.stack, 3, True, 9,
    )  # fmt: skip


@pytest.mark.parametrize(
    "data", ["00000000800000", "0000000080000044", "00000000fffe000800000000", "0000000080000008ab"]
)
def test_bytes_of_no_switch_are_refused(data: str) -> None:
    with pytest.raises(OpenFlowError):
        decode_continuation(bytes.fromhex(data), 1)
