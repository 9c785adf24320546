"""Controllers of Debian's switch and of ours are told the same, byte for byte, whatever their
versions, their roles, and how they came by their connection; and the same is logged of them."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.peer_pair import PeerPair, peer_pair, stop_time
from tests.support.peer_switch import PeerSwitch
from tests.support.peers import wait_until
from tests.support.raw_controllers import (
    ECHO_REPLY,
    ECHO_REQUEST,
    Called,
    RawController,
    call,
    greet,
    message,
)

from netloom.openflow.codec import encode_message
from netloom.openflow.flow_text import parse_flow_mod
from netloom.openflow.message_text import Style, format_message
from netloom.openflow.messages import OFPFC_ADD, OFPFC_DELETE, OFPFC_MODIFY
from netloom.openflow.messages_monitor import (
    OFPFMF_ADD,
    OFPFMF_INSTRUCTIONS,
    OFPFMF_MODIFY,
    OFPFMF_REMOVED,
    FlowMonitorRequest,
    MonitorRequest,
)
from netloom.openflow.protocol import INITIAL

pytestmark = pytest.mark.interop

FRAME = "50540000000250540000000108004500001400000000401100000102030405060708"
ROLE_REQUEST, ASYNC_REQUEST, SET_ASYNC = 24, 26, 28
OTHER, PRIMARY, SECONDARY = 1, 2, 3
#: Addresses of dummies are numbered as it comes.
_DUMMY_MAC = re.compile("aa55aa5500..")


@pytest.fixture(scope="module")
def switches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PeerPair]:
    with peer_pair(tmp_path_factory.mktemp("controllers"), stop_time) as pair:
        yield pair


@pytest.fixture(autouse=True)
def bridge(switches: PeerPair) -> Iterator[None]:
    """br0 with the dummies p1 to p3, without a controller."""
    versions = ",".join(f"OpenFlow1{minor}" for minor in range(6))
    ports = [
        word
        for n in (1, 2, 3)
        for word in ("--", "add-port", "br0", f"p{n}", "--", "set", "interface", f"p{n}",
                     "type=dummy", f"ofport_request={n}")
    ]  # fmt: skip
    switches.configure(
        "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy", "fail_mode=secure",
        "other-config:datapath-id=fedcba9876543210", "other-config:hwaddr=aa:55:aa:55:00:00",
        f"protocols={versions}", *ports,
    )  # fmt: skip
    yield
    switches.configure("del-br", "br0")


def flow_mod(version: int, text: str, command: int = OFPFC_ADD) -> bytes:
    return encode_message(parse_flow_mod(text, command)[0], 9, INITIAL[version])


def role(version: int, wanted: int, generation: int) -> bytes:
    return message(version, ROLE_REQUEST, struct.pack("!IIQ", wanted, 0, generation))


class Desk:
    """A switch and the controllers that it called."""

    def __init__(self, switch: PeerSwitch, kinds: tuple[tuple[int, str], ...]) -> None:
        self.switch = switch
        self._offices = [Called() for _ in kinds]
        words = []
        for number, (office, (_, kind)) in enumerate(zip(self._offices, kinds, strict=True)):
            words += [f"--id=@c{number}", "create", "controller", f'target="{office.target}"',
                      f"type={kind}", "inactivity_probe=0", "--"]  # fmt: skip
        names = ",".join(f"@c{number}" for number in range(len(kinds)))
        switch.run("ovs-vsctl", *words, "set", "bridge", "br0", f"controller={names}")
        self.controllers = [
            office.accept(version)
            for office, (version, _) in zip(self._offices, kinds, strict=True)
        ]
        self._said: list[list[str]] = [[] for _ in kinds]

    def say(self, number: int, *messages: bytes) -> None:
        self._said[number] += self.controllers[number].heard(*messages)

    def said(self) -> list[list[str]]:
        """All that each controller was told since it was asked last, until `forget`. Removed flows
        come in the order of a hash table."""
        for said, controller in zip(self._said, self.controllers, strict=True):
            said += controller.heard()
        return [sorted(_DUMMY_MAC.sub("MAC", text) for text in said) for said in self._said]

    def forget(self) -> None:
        for said in self._said:
            said.clear()

    def close(self) -> None:
        for connection in (*self.controllers, *self._offices):
            connection.close()


def _counts(dump: str) -> str:
    return "".join(sorted(re.findall(r"n_packets=[1-9].*\n", dump)))


class Desks:
    """Both of them."""

    def __init__(self, switches: PeerPair, kinds: tuple[tuple[int, str], ...]) -> None:
        self._switches = switches
        self.versions = [version for version, _ in kinds]
        self._by_switch = {id(switch): Desk(switch, kinds) for switch in switches}

    def agree(self) -> list[list[str]]:
        """What the controllers of both were told."""
        found = self._switches.agree_on(lambda switch: self._by_switch[id(switch)].said())
        for desk in self._by_switch.values():
            desk.forget()
        return found

    def say(self, number: int, *messages: bytes) -> list[list[str]]:
        for desk in self._by_switch.values():
            desk.say(number, *messages)
        return self.agree()

    def receive(self) -> list[list[str]]:
        """A packet comes in; what is told is counted only when both switches have told it."""
        # What Debian's switch keeps of flows that are gone would swallow the packet.
        self._switches.control("revalidator/purge")
        self._switches.control("netdev-dummy/receive", "p1", FRAME)
        self._switches.warp(100)
        told = self.agree()
        # The packet is counted later.
        self._switches.agree("bridge/dump-flows", "br0", shown=_counts)
        return told

    def run(self, *words: str) -> list[list[str]]:
        for switch in self._switches:
            switch.run(*words)
        return self.agree()

    def close(self) -> None:
        for desk in self._by_switch.values():
            desk.close()


def test_controllers_of_all_versions_at_once_are_told_the_same(switches: PeerPair) -> None:
    kinds = ((1, "primary"), (4, "primary"), (5, "primary"), (6, "primary"), (4, "service"))
    desks = Desks(switches, kinds)
    for number, version in enumerate(desks.versions):
        text = f"in_port=1,cookie={number},priority={number + 1},send_flow_rem,actions=2,controller"
        desks.say(number, flow_mod(version, text))
    # A packet for each of the primaries; the service has not asked.
    told = desks.receive()
    assert [len(said) for said in told] == [1, 1, 1, 1, 0]
    for number in (1, 2, 3):
        desks.say(number, role(desks.versions[number], PRIMARY, number + 1))
    stale = desks.say(1, role(4, PRIMARY, 1))
    assert stale[1][0].startswith("0401") and "000b0000" in stale[1][0]
    desks.say(2, role(5, SECONDARY, 9))
    told = desks.receive()
    assert [len(said) for said in told] == [1, 0, 0, 1, 0]
    for number, version in enumerate(desks.versions):
        # Secondaries are refused.
        desks.say(number, flow_mod(version, "in_port=1,priority=1,actions=3"))
        desks.say(number, flow_mod(version, "in_port=1", OFPFC_DELETE))
    for move in ("down", "up"):
        assert any(desks.run("ovs-ofctl", "mod-port", "br0", "p2", move))
    desks.run("ovs-vsctl", "add-port", "br0", "p4", "--", "set", "interface", "p4", "type=dummy",
              "ofport_request=4")  # fmt: skip
    desks.run("ovs-vsctl", "del-port", "p4")
    desks.run("ovs-ofctl", "del-flows", "br0")
    desks.close()


def test_asynchronous_messages_are_sent_to_who_wants_them(switches: PeerPair) -> None:
    switches.configure("set", "bridge", "br0", "fail_mode=secure")
    desks = Desks(switches, ((4, "primary"), (6, "primary")))
    flow = flow_mod(4, "in_port=1,send_flow_rem,actions=controller")

    def numbers() -> list[int]:
        desks.say(0, flow)
        told = [desks.receive(), desks.run("ovs-ofctl", "del-flows", "br0")]
        return [sum(len(each[number]) for each in told) for number in (0, 1)]

    def enable(value: str) -> None:
        for switch in switches:
            rows = switch.run("ovs-vsctl", "get", "bridge", "br0", "controller").stdout
            for row in re.findall(r"[0-9a-f-]{36}", rows):
                switch.run("ovs-vsctl", "set", "controller", row, f"enable_async_messages={value}")

    assert numbers() == [2, 2]
    enable("false")
    desks.say(0, message(4, ASYNC_REQUEST))
    numbers()
    desks.say(0, message(4, SET_ASYNC, struct.pack("!6I", 7, 7, 7, 7, 15, 15)))
    numbers()
    enable("true")
    desks.say(0, message(4, ASYNC_REQUEST))
    numbers()
    desks.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _log_of(switch: PeerSwitch, start: int = 0) -> list[str]:
    """What was logged of connections, without the numbers of peers."""
    lines = switch.errors().splitlines()[start:]
    words = [line.split("|", 2)[2] for line in lines if "|rconn|" in line]
    return [re.sub(r"unix#\d+|tcp:127\.0\.0\.1:\d+", "PEER", line) for line in words]


def _log_connections(switch: PeerSwitch) -> int:
    """Have the daemon log its connections on standard error; how much is there already."""
    switch.control("vlog/set", "rconn:console:dbg")
    return len(switch.errors().splitlines())


def _hear(controller: RawController, switch: PeerSwitch, milliseconds: int) -> int | None:
    """The next message after a time in which something has to come."""
    switch.control("time/warp", str(milliseconds), "100")
    return controller.next_kind()


@pytest.mark.parametrize(
    ("probe", "silence_ms"), [("7000", 7_000), ("7900", 7_000), ("2000", 5_000), ("[]", 5_000)]
)
def test_who_calls_is_asked_whether_he_lives(
    switches: PeerPair, probe: str, silence_ms: int
) -> None:
    def logged(switch: PeerSwitch) -> list[str]:
        port = _free_port()
        switch.run("ovs-vsctl", "set-controller", "br0", f"ptcp:{port}:127.0.0.1", "--",
                   "set", "controller", "br0", f"inactivity_probe={probe}")  # fmt: skip
        controller = call(f"tcp:127.0.0.1:{port}", 4)
        # Once more, now that nobody is left who tried whether the port is there.
        start = _log_connections(switch)
        for _ in range(2):
            switch.control("time/warp", str(silence_ms - 200), "100")
            assert controller.heard() == []
        assert _hear(controller, switch, silence_ms) == ECHO_REQUEST
        controller.say(message(4, ECHO_REPLY, xid=0))
        assert controller.heard() == []
        assert _hear(controller, switch, silence_ms) == ECHO_REQUEST
        assert _hear(controller, switch, silence_ms) is None
        log = _log_of(switch, start)
        controller.close()
        return log

    theirs, ours = (logged(switch) for switch in switches)
    assert ours == theirs
    assert "no response to inactivity probe" in ours[-2]


def test_tools_of_the_same_machine_are_asked_after_a_minute(switches: PeerPair) -> None:
    for switch in switches:
        controller = call(f"unix:{switch.directory}/br0.mgmt", 4)
        switch.control("time/warp", "59000", "1000")
        assert controller.heard() == []
        assert _hear(controller, switch, 60_000) == ECHO_REQUEST
        assert _hear(controller, switch, 60_000) is None
        controller.close()


def test_who_calls_and_does_not_say_hello_is_hung_up_on(switches: PeerPair) -> None:
    for switch in switches:
        with greet(Path(switch.directory / "br0.mgmt")) as silent:
            assert silent.recv(100)[1] == 0
            switch.control("time/warp", "1100", "100")
            assert silent.recv(100) == b""


CALLS = {
    "leaves before the hello": (b"",),
    "hello and leaves": (message(4, 0),),
    "half a message": (message(4, 0), b"\4\2\0"),
    "too short": (message(4, 0), b"\4\2\0\4\0\0\0\0"),
    "no hello": (message(0x42, ECHO_REQUEST),),
}


@pytest.mark.parametrize("case", CALLS)
def test_the_same_is_logged_of_who_calls(switches: PeerPair, case: str) -> None:
    def logged(switch: PeerSwitch) -> list[str]:
        start = _log_connections(switch)
        with greet(Path(switch.directory / "br0.mgmt")) as caller:
            caller.recv(100)
            for number, data in enumerate(CALLS[case]):
                # What follows a hello comes when that was read.
                assert not number or wait_until(lambda: "ACTIVE" in str(_log_of(switch, start)))
                caller.sendall(data)
            assert case != "hello and leaves" or wait_until(
                lambda: "ACTIVE" in str(_log_of(switch, start))
            )
        assert wait_until(lambda: "DISCONNECTED" in str(_log_of(switch, start)))
        return _log_of(switch, start)

    theirs, ours = (logged(switch) for switch in switches)
    assert ours == theirs


def _column(switch: PeerSwitch, name: str) -> str:
    return switch.run("ovs-vsctl", "get", "controller", "br0", name).stdout.strip()


def test_the_row_says_whether_a_controller_is_there_and_what_it_is(switches: PeerPair) -> None:
    def rows(switch: PeerSwitch) -> list[str]:
        seen = []

        def note(column: str, words: str) -> None:
            """The row, once it says `words`. Debian's switch brings it up to date every five
            seconds of its clock."""

            def says() -> bool:
                switch.control("time/warp", "1000", "500")
                return words in _column(switch, column)

            assert wait_until(says), _column(switch, column)
            texts = [_column(switch, name) for name in ("is_connected", "role", "status")]
            seen.append(re.sub(r'(sec_since_\w+)="\d+"', r"\1", " ".join(texts)))

        with Called() as office:
            switch.run("ovs-vsctl", "set-controller", "br0", office.target)
            controller = office.accept(4)
            # Debian's switch asks a new controller after five seconds, whatever the row says.
            switch.run("ovs-vsctl", "set", "controller", "br0", "inactivity_probe=0")
            note("is_connected", "true")
            for wanted, word in ((PRIMARY, "master"), (SECONDARY, "slave"), (OTHER, "other")):
                controller.heard(role(4, wanted, 1))
                note("role", word)
        controller.close()
        note("is_connected", "false")
        return seen

    theirs, ours = (rows(switch) for switch in switches)
    # How far the next attempt has come is chance.
    theirs[-1], ours[-1] = (each[-1].partition("{")[0] for each in (theirs, ours))
    assert ours == theirs


def test_attempts_are_logged_until_they_are_as_far_apart_as_they_get(switches: PeerPair) -> None:
    def logged(switch: PeerSwitch) -> list[str]:
        start = _log_connections(switch)
        switch.run("ovs-vsctl", "set-controller", "br0", f"tcp:127.0.0.1:{_free_port()}",
                   "--", "set", "controller", "br0", "max_backoff=8000")  # fmt: skip

        def is_refused() -> bool:
            lines = [line for line in _log_of(switch, start) if "|DBG|" not in line]
            return bool(lines) and not lines[-1].endswith("connecting...")

        for _ in range(20):
            assert wait_until(is_refused)
            switch.control("time/warp", "1000", "100")
        assert wait_until(is_refused)
        switch.run("ovs-vsctl", "del-controller", "br0")
        return [
            line
            for line in _log_of(switch, start)
            # On loopback a refusal comes at once, which 3.1 goes on to log.
            if not line.startswith(("rconn|DBG", "rconn|WARN"))
        ]

    theirs, ours = (logged(switch) for switch in switches)
    assert ours == theirs
    assert "suppressing further logging" in ours[-1]


#: More than one connection's buffers hold of updates.
N_FLOWS = 6_000
_CHUNK = 200


def _reader_that_sleeps(switch: PeerSwitch, version: int) -> RawController:
    """A controller that has asked for all changes of flows, and has small buffers."""
    monitor = call(f"unix:{switch.directory}/br0.mgmt", version)
    monitor.keep_little()
    flags = OFPFMF_ADD | OFPFMF_REMOVED | OFPFMF_MODIFY | OFPFMF_INSTRUCTIONS
    request = FlowMonitorRequest((MonitorRequest(monitor_id=1, flags=flags),))
    assert monitor.heard(encode_message(request, 9, INITIAL[version])) != []
    return monitor


@pytest.mark.parametrize("version", [4, 5, 6])
def test_a_monitor_that_reads_late_knows_the_flows_in_the_end(
    switches: PeerPair, version: int
) -> None:
    # Of Debian's switch such a controller hears of changes to flows that it does not know.
    switch = switches.ours
    monitor = _reader_that_sleeps(switch, version)
    writer = call(f"unix:{switch.directory}/br0.mgmt", version)
    padding = "note:" + ".".join(["00"] * 22)
    changes = [flow_mod(version, f"metadata={n},actions=2,{padding}") for n in range(N_FLOWS)]
    changes += [flow_mod(version, f"metadata={n}", OFPFC_DELETE) for n in range(0, N_FLOWS, 3)]
    changes += [
        flow_mod(version, f"metadata={n},actions=3", OFPFC_MODIFY) for n in range(1, N_FLOWS, 3)
    ]
    for at in range(0, len(changes), _CHUNK):
        assert writer.heard(*changes[at : at + _CHUNK]) == []
    known: dict[str, str] = {}
    events: set[str] = set()
    wanted = {str(n): "3" if n % 3 == 1 else "2" for n in range(N_FLOWS) if n % 3}

    def is_told() -> bool:
        for data in monitor.heard():
            _learn(format_message(bytes.fromhex(data), Style(2)), known, events)
        return "RESUMED" in events

    assert wait_until(is_told, 40)
    assert "PAUSED" in events
    assert known == wanted
    monitor.close()
    writer.close()


def _learn(text: str, known: dict[str, str], events: set[str]) -> None:
    """What updates say of flows: their first action, by their metadata."""
    events |= set(re.findall("PAUSED|RESUMED", text))
    found = re.findall(r"event=(\w+).*?metadata=(\w+)(?: actions=output:(\d))?", text)
    for event, metadata, action in found:
        number = str(int(metadata, 0))
        assert (number in known) == (event != "ADDED")
        if event == "DELETED":
            del known[number]
        else:
            known[number] = action
