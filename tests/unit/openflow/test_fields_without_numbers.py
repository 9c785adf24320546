"""Fields that no message has a number for: actions name them, and every reader refuses that."""

from __future__ import annotations

import pytest

from netloom.openflow.action_decode import decode_actions
from netloom.openflow.action_encode import encode_actions
from netloom.openflow.action_parse import ActionReader
from netloom.openflow.errors import OpenFlowError


@pytest.mark.parametrize("field", ["skb_priority", "tun_tos", "tun_ttl"])
@pytest.mark.parametrize(
    "text", ["push:{}", "pop:{}", "output:{}", "load:1->{}[0..3]", "move:{}[0..3]->reg0[0..3]"]
)
@pytest.mark.parametrize("version", [1, 4, 6])
def test_they_are_written_and_refused(field: str, text: str, version: int) -> None:
    actions = ActionReader(None, None).read(text.format(field))
    with pytest.raises(OpenFlowError):
        decode_actions(encode_actions(actions, version), version)
