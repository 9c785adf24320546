"""Bundles: Debian's switch and ours answer alike, whatever is in them and whatever state they are
in."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

import pytest
from tests.support.peer_pair import PeerPair, peer_pair, stop_time
from tests.support.peer_switch import PeerSwitch
from tests.support.raw_controllers import RawController, call, message

from netloom.openflow.codec import encode_message
from netloom.openflow.flow_text import parse_flow_mod
from netloom.openflow.group_text import parse_group_mod
from netloom.openflow.messages import OFPFC_ADD, OFPFC_DELETE, OFPFC_MODIFY
from netloom.openflow.messages_groups import OFPGC_ADD, OFPGC_DELETE
from netloom.openflow.meter_text import parse_meter_mod
from netloom.openflow.protocol import INITIAL

pytestmark = pytest.mark.interop

#: OpenFlow 1.3 has them as an extension.
_ONF, _ONF_CONTROL, _ONF_ADD = 0x4F4E4600, 2300, 2301
_EXPERIMENTER, _CONTROL, _ADD = 4, 33, 34
OPEN, CLOSE, COMMIT, DISCARD = 0, 2, 4, 6
REPLIES = (1, 3, 5, 7)
#: Types of messages, and bodies that they could have.
INNER = [
    (0, 0), (2, 3), (3, 0), (5, 0), (7, 0), (9, 4), (13, 16), (14, 5), (15, 32), (16, 32), (17, 8),
    (18, 8), (20, 0), (22, 8), (24, 16), (26, 0), (28, 24), (29, 8), (33, 8), (34, 8), (99, 0),
]  # fmt: skip
METER = "meter=1,kbps,band=type=drop,rate=5"
GROUP = "group_id=1,type=all,bucket=output:1"


@pytest.fixture(scope="module")
def switches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PeerPair]:
    def prepare(switch: PeerSwitch) -> None:
        stop_time(switch)
        switch.add_bridge_of_two()
        switch.run(
            "ovs-vsctl", "set", "bridge", "br0", "protocols=OpenFlow13,OpenFlow14,OpenFlow15"
        )

    with peer_pair(tmp_path_factory.mktemp("bundles"), prepare) as pair:
        yield pair


class Site:
    """What is said to one switch, and what it answers."""

    def __init__(self, switch: PeerSwitch, version: int) -> None:
        self._switch = switch
        self._version = version
        self._target = f"unix:{switch.directory}/br0.mgmt"
        self.one, self.other = self.call(), self.call()
        self.seen: list[str] = []

    def call(self) -> RawController:
        return call(self._target, self._version)

    def control(
        self, kind: int, number: int = 1, flags: int = 3, by: RawController | None = None
    ) -> None:
        self._say(by, _CONTROL, _ONF_CONTROL, struct.pack("!IHH", number, kind, flags))

    def put(
        self, inner: bytes, number: int = 1, flags: int = 3, by: RawController | None = None
    ) -> None:
        self._say(by, _ADD, _ONF_ADD, struct.pack("!IHH", number, 0, flags) + inner)

    def _say(self, by: RawController | None, kind: int, onf_kind: int, body: bytes) -> None:
        if self._version < 5:
            kind, body = _EXPERIMENTER, struct.pack("!II", _ONF, onf_kind) + body
        said = message(self._version, kind, body)
        self.seen.append(f"> {said.hex()}")
        self.seen += (by or self.one).heard(said)

    def flow(self, text: str, command: int = OFPFC_ADD) -> bytes:
        return encode_message(parse_flow_mod(text, command)[0], 9, INITIAL[self._version])

    def group(self, text: str, command: int = OFPGC_ADD) -> bytes:
        return encode_message(parse_group_mod(text, command)[0], 9, INITIAL[self._version])

    def meter(self, text: str) -> bytes:
        return encode_message(parse_meter_mod(text, 0), 9, INITIAL[self._version])

    def raw(self, kind: int, size: int) -> bytes:
        return message(self._version, kind, bytes(size))

    def bundle(self, *inner: bytes) -> None:
        """All of them in one, and what is in the tables then."""
        self.control(OPEN)
        for each in inner:
            self.put(each)
        self.control(COMMIT)
        for words in ("dump-flows", "dump-groups"):
            done = self._switch.run("ovs-ofctl", "-OOpenFlow15", "--no-stats", words, "br0")
            # Rows come in the order of a hash table.
            self.seen += sorted(
                line.strip() for line in done.stdout.splitlines() if "xid" not in line
            )

    def pass_time(self, milliseconds: int) -> None:
        for _ in range(milliseconds // 500):
            self._switch.control("time/warp", "500", "500")
            # Something has to be said meanwhile, or the connection is probed.
            self.seen += self.one.heard()

    def close(self) -> None:
        for command in ("del-flows", "del-groups", "del-meters"):
            self._switch.run("ovs-ofctl", "-OOpenFlow15", command, "br0")
        self.one.close()
        self.other.close()


def states(site: Site) -> None:
    """Numbers and flags in every order, and of two sessions."""
    for kind in (CLOSE, COMMIT, DISCARD, *REPLIES):
        site.control(kind)
    for flags in (0, 1, 2, 3, 4, 7):
        for kind in (OPEN, CLOSE, COMMIT):
            site.control(kind, 100 + flags, flags)
    for by in (site.one, site.one, site.one, site.other):
        site.control(OPEN, by=by)
    site.put(site.flow("in_port=1,actions=2"), by=site.other)
    site.control(DISCARD)
    site.control(COMMIT)
    site.control(COMMIT, by=site.other)
    # Adding opens one that is not there; flags must stay the same.
    site.put(site.flow("in_port=2,actions=2"), 5)
    site.put(site.flow("in_port=3,actions=2"), 5, 2)
    site.control(COMMIT, 5)
    site.control(OPEN, 5)
    for flags in (1, 3, 3):
        site.control(CLOSE, 5, flags)
    site.put(site.flow("in_port=4,actions=2"), 5)
    site.control(COMMIT, 5)
    site.control(OPEN, 5)
    site.control(DISCARD, 5, 0)
    site.control(DISCARD, 5, 0)


def every_message(site: Site) -> None:
    for kind, size in INNER:
        for flags in (0, 3):
            site.control(OPEN, 7, flags)
            site.put(site.raw(kind, size), 7, flags)
            site.control(COMMIT, 7, flags)


def failures(site: Site) -> None:
    """Where something fails in the middle, all is as it was."""
    flow, group = site.flow, site.group
    site.bundle(flow("in_port=1,cookie=1,actions=1"), flow("in_port=2,cookie=2,actions=1"))
    site.bundle(flow("in_port=1,actions=2"), group(GROUP), site.meter(METER),
                flow("in_port=2,actions=group:1"), flow("in_port=3,actions=group:77"))  # fmt: skip
    site.bundle(
        flow("in_port=1,actions=2"), group(GROUP), flow("in_port=2,actions=group:1"), group(GROUP)
    )
    site.bundle(group(GROUP), group("group_id=2,type=all,bucket=group:1"),
                flow("in_port=2,actions=group:1"), flow("in_port=3,actions=group:2"),
                group("group_id=1", OFPGC_DELETE), flow("in_port=4,actions=2"))  # fmt: skip
    site.bundle(flow("in_port=1", OFPFC_DELETE), flow("actions=2", OFPFC_MODIFY),
                flow("in_port=5,check_overlap,actions=1"),
                flow("check_overlap,in_port=5,dl_src=0:0:0:0:0:1,actions=1"))  # fmt: skip


def time_passes(site: Site) -> None:
    """Bundles that nobody goes on with are forgotten; so are those of a session that ended."""
    site.control(OPEN, 11)
    site.pass_time(9_000)
    site.put(site.flow("in_port=1,actions=2"), 11)
    site.pass_time(9_000)
    site.control(CLOSE, 11)
    site.pass_time(15_000)
    site.control(COMMIT, 11)
    site.control(OPEN, 13)
    site.one.close()
    site.one = site.call()
    site.control(COMMIT, 13)
    site.control(OPEN, 13)
    site.control(COMMIT, 13)


@pytest.mark.parametrize("version", [4, 5, 6])
@pytest.mark.parametrize("play", [states, every_message, failures, time_passes])
def test_bundles_are_answered_alike(
    switches: PeerPair, version: int, play: Callable[[Site], None]
) -> None:
    seen = []
    for switch in switches:
        site = Site(switch, version)
        play(site)
        site.close()
        seen.append(site.seen)
    theirs, ours = seen
    assert ours == theirs
