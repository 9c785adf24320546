"""Names of tables are read from a features reply without reading the rest."""

from __future__ import annotations

import pytest

from netloom.base.record import replace
from netloom.ofproto.connmgr_features import table_features
from netloom.openflow import messages as m
from netloom.openflow.codec import decode_message, encode_message
from netloom.openflow.codec_features import read_table_names
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.message_table import read_frame
from netloom.openflow.protocol import INITIAL


@pytest.mark.parametrize("version", [4, 5, 6])
def test_names_are_those_of_the_whole_reply(version: int) -> None:
    tables = table_features(4, 1_000, version)
    named = (replace(tables[0], name="first"), tables[1], replace(tables[2], name="x" * 31))
    data = encode_message(m.TableFeaturesReply(named), 1, INITIAL[version])
    assert read_table_names(read_frame(data)) == {0: "first", 2: "x" * 31}
    reply = decode_message(data)[0]
    assert isinstance(reply, m.TableFeaturesReply)
    assert [table.name for table in reply.tables] == ["first", "", "x" * 31]


def test_a_table_that_overruns_the_reply_is_refused() -> None:
    tables = table_features(1, 1_000, 4)
    data = bytearray(encode_message(m.TableFeaturesReply(tables), 1, INITIAL[4]))
    data[16] = 0xFF
    with pytest.raises(OpenFlowError, match="BAD_LEN"):
        read_table_names(read_frame(bytes(data)))
