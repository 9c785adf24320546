"""What `-vvconn` shows of a connection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest

from netloom.base.errors import ProtocolError
from netloom.base.log import CONSOLE, DBG, WARN, vlog
from netloom.openflow import messages as m
from netloom.openflow.connection import Connection


@pytest.fixture
def debugged() -> Iterator[None]:
    vlog.declare(["vconn"])
    vlog.set_level(DBG, "vconn", CONSOLE)
    yield
    vlog.set_level(WARN, "vconn", CONSOLE)


def deliver(end: Connection, data: bytes) -> None:
    end.receive_data(data)
    while end.next_event() is not None:
        continue


def converse() -> None:
    switch = Connection("br0<->unix#1", (1, 2, 3, 4))
    tool = Connection("unix:br0.mgmt", (4,))
    deliver(tool, switch.data_to_send())
    tool.send(m.EchoRequest())
    deliver(switch, tool.data_to_send())


def test_messages_are_logged_by_the_name_of_their_stream(
    debugged: None, capsys: pytest.CaptureFixture[str]
) -> None:
    converse()
    lines = [line.partition("|vconn|DBG|")[2] for line in capsys.readouterr().err.splitlines()]
    assert [line for line in lines if line] == [
        "unix#1: sent (Success): OFPT_HELLO (OF1.3) (xid=0x1):",
        "unix:br0.mgmt: received: OFPT_HELLO (OF1.3) (xid=0x1):",
        "unix:br0.mgmt: negotiated OpenFlow version 0x04 (we support version 0x04, "
        "peer supports version 0x04 and earlier)",
        "unix:br0.mgmt: sent (Success): OFPT_HELLO (OF1.3) (xid=0x1):",
        "unix:br0.mgmt: sent (Success): OFPT_ECHO_REQUEST (OF1.3) (xid=0x2): 0 bytes of payload",
        "unix#1: received: OFPT_HELLO (OF1.3) (xid=0x1):",
        "unix#1: negotiated OpenFlow version 0x04 (we support version 0x04 and earlier, "
        "peer supports version 0x04)",
        "unix#1: received: OFPT_ECHO_REQUEST (OF1.3) (xid=0x2): 0 bytes of payload",
    ]


def test_nothing_is_logged_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    converse()
    assert capsys.readouterr().err == ""


def test_a_broken_stream_is_logged_without_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    for data in ("04000004", "0402000800"):
        connection = Connection("br0<->tcp:1.2.3.4:6653")
        connection.receive_data(bytes.fromhex(data).ljust(8, b"\0")[: 8 if data[7] == "4" else 5])
        with suppress(ProtocolError):
            connection.next_event()
        connection.receive_data(b"")
    lines = [line.partition("|vconn_stream|")[2] for line in capsys.readouterr().err.splitlines()]
    assert lines == [
        "ERR|received too-short ofp_header (4 bytes)",
        "ERR|connection dropped mid-packet",
    ]
