"""Controllers that break the protocol: both switches answer alike, drop them alike, log alike."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest
from tests.interop.osken_runs import running
from tests.support.peers import PATIENCE_S, peer_tools, wait_until

from netloom.lab.switch import Switch

pytestmark = pytest.mark.interop

HELLO = "0400000800000001"
STRANGE = "0400001000000001" + "00ff000800000000"
#: What the switch says nothing to, and for how long that is observed.
UNANSWERED = (HELLO, STRANGE)
SILENCE_S = 0.3
#: What a controller sends after the switch's hello, one string per packet, and how often to
#: expect an answer; "close" hangs up.
CASES: dict[str, tuple[str, ...]] = {
    "shorter than a header": (HELLO, "0402000400000001"),
    "garbage": (HELLO, "ff" * 16),
    "hello of version 0": ("0000000800000001",),
    "no hello": ("0402000800000001",),
    "hello of a version that is not allowed": ("0200000800000001",),
    "hello with a bitmap without a common version": ("06000010000000010001000800000004",),
    "hello with a strange element": (STRANGE, "0402000800000002"),
    "echo of another version": (HELLO, "0102000800000001"),
    "barrier of another version": (HELLO, "0112000800000001"),
    "hang up": (HELLO, "0402000800000009", "close"),
    "unknown type": (HELLO, "04fa000800000001"),
    "packet-in from a controller": (HELLO, "040a000800000003"),
    "error from a controller": (HELLO, "0401000c0000000300010001", "0402000800000009"),
    "second hello": (HELLO, HELLO, "0402000800000009"),
}
MODULES = ("rconn", "vconn", "connmgr")


class Controller:
    """Listens on a port of loopback, to be called by one switch."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE_S)
        self.target = f"tcp:127.0.0.1:{self._listener.getsockname()[1]}"

    def play(self, packets: tuple[str, ...]) -> list[str]:
        """Send the packets; what the switch answered to each, "closed" if it hung up."""
        connection, _ = self._listener.accept()
        with connection:
            connection.settimeout(PATIENCE_S)
            answers = [connection.recv(1 << 16)[:2].hex()]
            for packet in packets:
                if packet == "close":
                    break
                connection.sendall(bytes.fromhex(packet))
                connection.settimeout(SILENCE_S if packet in UNANSWERED else PATIENCE_S)
                answers.append(_answer(connection))
        return answers

    def close(self) -> None:
        self._listener.close()


def _answer(connection: socket.socket) -> str:
    try:
        data = connection.recv(1 << 16)
    except TimeoutError:
        return "nothing"
    except ConnectionResetError:
        return "closed"
    # A goodbye names the versions that it would have liked: not a thing to compare.
    return data[:12].hex() if data else "closed"


@pytest.fixture(scope="module")
def sides() -> Iterator[tuple[Switch, Switch]]:
    peer_tools()
    with running("ours") as ours, running("debian") as debian:
        for side in (ours, debian):
            side.run("ovs-appctl", "vlog/disable-rate-limit")
        yield ours, debian


def log_of(switch: Switch, target: str, start: int) -> list[str]:
    """What was logged of a controller from a place in the log on."""
    lines = _log(switch)[start:].splitlines()
    words = [line.split("|", 2)[2] for line in lines if target in line]
    return [
        re.sub(r"xid=0x[0-9a-f]+", "xid=X", line.replace(target, "TARGET"))
        for line in words
        if line.split("|")[0] in MODULES and "|DBG|" not in line
    ]


def _log(switch: Switch) -> str:
    return (switch.rundir / "ovs-vswitchd.log").read_text()


def outcome(switch: Switch, packets: tuple[str, ...]) -> tuple[list[str], list[str]]:
    controller = Controller()
    target = controller.target
    # An earlier controller may have had the same port.
    start = len(_log(switch))
    switch.run("ovs-vsctl", "--if-exists", "del-br", "br0")
    switch.run(
        *("ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy"),
        *("protocols=OpenFlow13", "fail_mode=secure", "--", "set-controller", "br0", target),
        *("--", "set", "controller", "br0", "connection_mode=out-of-band"),
    )
    answers = controller.play(packets)
    controller.close()
    # Debian's switch may notice that it hung up only at its next inactivity probe.
    assert wait_until(lambda: _end(log_of(switch, target, start)) is not None)
    switch.run("ovs-vsctl", "del-controller", "br0")
    log = log_of(switch, target, start)
    return answers, log[: _end(log)]


def _end(log: list[str]) -> int | None:
    """The number of lines up to the end of the first connection."""
    ends = ("connection closed by peer", "connection dropped")
    found = [number for number, line in enumerate(log, 1) if any(end in line for end in ends)]
    return found[0] if found else None


@pytest.mark.parametrize("case", CASES)
def test_a_broken_controller_is_treated_alike(sides: tuple[Switch, Switch], case: str) -> None:
    (answers, log), (their_answers, their_log) = (outcome(side, CASES[case]) for side in sides)
    assert log == their_log
    assert answers == their_answers
