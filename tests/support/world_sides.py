"""A random world (`tests.support.random_world`) in two switches, and what is seen of each.

A `Side` is one switch that lives through many worlds. It does the lines of a world one by one and
tells for each what was seen, with what differs by chance or by release made the same.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from tests.support.peer_switch import REAL_TUNNELS, PeerSwitch
from tests.support.peers import wait_until
from tests.support.releases import as_later

from netloom.base.errors import ConfigError
from netloom.openflow.codec import encode_message
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.flow_text import parse_flow_mod
from netloom.openflow.group_text import parse_group_mod
from netloom.openflow.messages import OFPFC_ADD, OFPFC_DELETE
from netloom.openflow.messages_groups import OFPGC_DELETE
from netloom.openflow.messages_meters import OFPMC_DELETE
from netloom.openflow.meter_text import parse_meter_mod
from netloom.openflow.protocol import P_OF15

_HELLO = bytes.fromhex("0400000800000000")
_HELLO_15 = bytes.fromhex("0600000800000000")
_ERROR = 1
_ASYNC = struct.pack("!BBHI6I", 4, 28, 32, 1, 7, 7, 0, 0, 15, 15)
_CONFIG = struct.pack("!BBHIHH", 4, 9, 12, 2, 0, 0xFFFF)
_BARRIER = 20
_PACKET_IN = 10
_DEVICE = re.compile(r"[pqsmt]\d+|br\d|\w+_sys(_\d+)?")
_ROUTES = (("1.1.2.88/24", "br0"), ("2001:cafe::88/64", "br0"))
_NEIGHBOURS = (("1.1.2.92", "f8:bc:12:44:34:b6"), ("1.1.2.93", "f8:bc:12:44:34:b7"))
_TOTALS = (
    "ofctl -OOpenFlow13 dump-flows {}", "ofctl -OOpenFlow15 dump-group-stats {}",
    "ofctl -OOpenFlow15 dump-groups {}", "ofctl -OOpenFlow13 meter-stats {}",
    "ofctl -OOpenFlow10 dump-ports {}", "ofctl -OOpenFlow13 dump-ports-desc {}",
    "appctl fdb/show {}", "appctl mdb/show {}", "appctl bridge/dump-flows {}",
)  # fmt: skip
_ANYWHERE = ("appctl dpctl/dump-conntrack", "appctl dpif/show")
#: What differs from run to run or from release to release, and what it becomes.
_MASKS = tuple(
    (re.compile(pattern, re.MULTILINE), text)
    for pattern, text in (
        (r"(duration|used)[=:][\d.]+s", r"\1=Xs"),
        (r"(idle|hard)_age=\d+,? ?", ""),
        (r"^ufid:[0-9a-f-]+, ?", ""),
        # Later than 3.1, bridge/dump-flows tells cookies.
        (r"^cookie=0x[0-9a-f]+, (?=table_id|duration)", ""),
        (r", dp-extra-info:.*$", ""),
        # Invalid packets of no connection have a tuple of their own in 3.1.
        (r"(ct_state\((?:0x[37b]\d/|\S*?\+inv)\S*)ct_tuple[46]\([^)]*\),", r"\1"),
        (r"(recirc\(|recirc_id\(|recirc_id=)(0x[0-9a-f]+|[1-9]\d*)", r"\1R"),
        (r"\(?xid=0x[0-9a-f]+\)?", ""),
        (r"(?<=udp\(src=)\d+(?=,dst=\d+,csum=)", "N"),
        (r"addr:[0-9a-f:]{17}", "MAC"),
        (r"^( *\S+ +\d+  [0-9a-f:]{17} +)\d+$", r"\1N"),
        (r"^( *\S+ +\d+ +)(?:IGMP\S+ +|MLD\S+ +)?([0-9a-f.:]+ +)\d+$", r"\1\2N"),
        # A bond is shown as the one or the other of its members.
        (r"^( +)2[12]( +\d+  [0-9a-f:]{17} )", r"\1bond\2"),
        (r"^ port  VLAN  protocol  GROUP", " port  VLAN  GROUP"),
        (r" (\d+|none)/\d+:", r" \1:"),
    )
)


def masked(text: str) -> str:
    """`text` without what is chance."""
    for pattern, word in _MASKS:
        text = pattern.sub(word, text)
    return as_later(text)


class Seen(NamedTuple):
    """What a line of a world did."""

    line: str
    text: str


def _n_common(*lines: str) -> int:
    """How many characters they begin with alike."""
    return next((n for n, chars in enumerate(zip(*lines, strict=False)) if len({*chars}) > 1), 0)


def _beyond(line: str, *lines: str) -> str:
    """`line` from a little before the lines differ."""
    at = _n_common(*lines) - 150
    return line if at <= 0 else f"... {line[at:]}"


class Different(NamedTuple):
    """A line of a world that did different things."""

    line: str
    theirs: str
    ours: str

    def __str__(self) -> str:
        only = apart(self.theirs, self.ours)
        if not any(only):
            only = (self.theirs.splitlines(), self.ours.splitlines())
        if len(only[0]) == len(only[1]) == 1:
            only = tuple([_beyond(line, *only[0], *only[1])] for (line,) in only)
        marked = [
            f"{sign} {line}" for sign, lines in zip("-+", only, strict=True) for line in lines
        ]
        return "\n".join([self.line, *marked])


class Controller:
    """A connection that has every packet-in and every removed flow sent to it."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(5)
        self._socket.connect(str(path))
        self._socket.sendall(_HELLO + _ASYNC + _CONFIG)
        self._xid = 100

    def received(self) -> Iterator[bytes]:
        """The messages up to now, without numbers of transactions."""
        self._xid += 1
        self._socket.sendall(struct.pack("!BBHI", 4, _BARRIER, 8, self._xid))
        data = b""
        while True:
            while len(data) >= 8 and len(data) >= (size := struct.unpack_from("!H", data, 2)[0]):
                message, data = data[:size], data[size:]
                if message[1] == _BARRIER + 1 and message[4:8] == struct.pack("!I", self._xid):
                    return
                if message[1] == _PACKET_IN:
                    yield message
            data += self._socket.recv(65536)

    def close(self) -> None:
        self._socket.close()


class Writer:
    """A connection that changes tables; the texts are those of ovs-ofctl."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(20)
        self._socket.connect(str(path))
        self._socket.sendall(_HELLO_15)

    def change(self, lines: list[str]) -> list[str]:
        """Send what the lines say; the error that each brought, or ""."""
        messages: list[bytes | str] = []
        for number, line in enumerate(lines):
            try:
                messages.append(_encoded(line, number))
            except (ConfigError, OpenFlowError) as error:
                messages.append(f"not sent: {error}")
        return self._send(messages)

    def empty(self) -> None:
        """Delete flows, groups and meters."""
        flows = encode_message(parse_flow_mod("", OFPFC_DELETE)[0], 0, P_OF15)
        groups = encode_message(parse_group_mod("group_id=all", OFPGC_DELETE)[0], 1, P_OF15)
        meters = encode_message(parse_meter_mod("meter=all", OFPMC_DELETE), 2, P_OF15)
        self._send([flows, groups, meters])

    def _send(self, lines: list[bytes | str]) -> list[str]:
        said = {n: line if isinstance(line, str) else "" for n, line in enumerate(lines)}
        for line in lines:
            if isinstance(line, bytes):
                self._socket.sendall(line)
        self._socket.sendall(struct.pack("!BBHI", 6, _BARRIER, 8, len(lines)))
        data = b""
        while True:
            while len(data) >= 8 and len(data) >= (size := struct.unpack_from("!H", data, 2)[0]):
                kind, xid = data[1], struct.unpack_from("!I", data, 4)[0]
                if kind == _BARRIER + 1 and xid == len(lines):
                    return list(said.values())
                if kind == _ERROR and xid in said:
                    said[xid] = f"error {data[8:12].hex()}"
                data = data[size:]
            data += self._socket.recv(65536)

    def close(self) -> None:
        self._socket.close()


def _encoded(line: str, xid: int) -> bytes:
    kind, _, text = f"{line}  ".split(" ", 2)
    if kind == "flow":
        return encode_message(parse_flow_mod(text, OFPFC_ADD)[0], xid, P_OF15)
    if kind == "group":
        return encode_message(parse_group_mod(text, 0)[0], xid, P_OF15)
    return encode_message(parse_meter_mod(text, 0), xid, P_OF15)


def _without_dei(frame: bytes) -> bytes:
    """`frame` without the bits that a tag loses when it is taken off and put on again, as happens
    on the way to some of the ports of a flood."""
    plain, at = bytearray(frame), 12
    while frame[at : at + 2] in (b"\x81\x00", b"\x88\xa8") and at + 2 < len(frame):
        plain[at + 2] &= 0xEF
        at += 4
    return bytes(plain)


class Capture:
    """The frames that a device sends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 24

    def sent(self) -> list[str]:
        """The frames that left since the last call."""
        data = self._path.read_bytes() if self._path.exists() else b""
        frames, at = [], self._read
        while at + 16 <= len(data):
            size = struct.unpack_from("=I", data, at + 8)[0]
            frames.append(_without_dei(data[at + 16 : at + 16 + size]).hex())
            at += 16 + size
        self._read = max(at, 24)
        return frames


class Side:
    """One switch."""

    def __init__(self, directory: Path, vswitchd: tuple[str, ...]) -> None:
        self.switch = PeerSwitch(directory, vswitchd, REAL_TUNNELS)
        self.switch.control("time/stop")
        self._controllers: dict[str, Controller] = {}
        self._writers: dict[str, Writer] = {}
        self._captures: dict[str, Capture] = {}
        self._bridges: list[str] = []
        self._names: dict[str, str] = {}
        #: What ovs-vsctl was told, as long as the ports are as it made them.
        self._wishes: list[str] | None = None

    def close(self) -> None:
        self._forget()
        self.switch.close()

    def is_idle(self) -> bool:
        """Whether the switch answers at once."""
        done = self.switch.run("ovs-appctl", "-T1", "-t", str(self.switch.directory / "switch.ctl"),
                               "version", check=False)  # fmt: skip
        return done.returncode == 0

    def _forget(self) -> None:
        for connection in (*self._controllers.values(), *self._writers.values()):
            connection.close()
        self._controllers.clear()
        self._writers.clear()
        self._captures.clear()

    def begin(self, lines: list[str]) -> list[Seen]:
        """Remove the world before, and set up this one as far as ovs-vsctl does."""
        wishes = [line.partition(" ")[2] for line in lines if line.startswith("vsctl ")]
        if wishes == self._wishes:
            self._empty()
            return [Seen("vsctl", "")]
        self._forget()
        removed = [word for name in self._bridges for word in ("--", "del-br", name)]
        for subnet, _ in _ROUTES if self._bridges else ():
            self.switch.appctl("ovs/route/del", subnet)
        self.switch.run("ovs-vsctl", *removed, "--", "--all", "destroy", "mirror")
        for path in self.switch.directory.glob("*.pcap"):
            path.unlink()
        self._wishes = None
        self._bridges = [wish.split()[1] for wish in wishes if wish.startswith("add-br ")]
        done = self.switch.run(
            "ovs-vsctl", *shlex.split(" -- ".join(["init", *wishes])), check=False
        )
        if done.returncode:
            self._bridges = []
            return [Seen("vsctl", done.stderr.strip())]
        if self._bridges:
            self._use_prefixes()
        self._watch(" ".join(wishes))
        if not any(line.startswith("ofctl ") for line in lines):
            self._wishes = wishes
        return [Seen("vsctl", "")]

    def _empty(self) -> None:
        """Have the same ports, with nothing in the tables, and nothing known."""
        for name, writer in self._writers.items():
            writer.empty()
            self.switch.appctl("fdb/flush", name)
            self.switch.appctl("mdb/flush", name)
        self.switch.appctl("revalidator/purge")
        self.switch.appctl("dpctl/flush-conntrack")
        self.switch.appctl("time/warp", "1")
        list(self.arrived())

    def _use_prefixes(self) -> None:
        """Have the same tries in the tables: each release has its own by default, and 3.1 has
        three at most."""
        words = ["--id=@t", "create", "Flow_Table", "prefixes=[ip_dst,ip_src,ipv6_dst]"]
        tables = [f"flow_tables:{n}=@t" for n in range(6)]
        sets = [word for name in self._bridges for word in ("--", "set", "Bridge", name, *tables)]
        self.switch.run("ovs-vsctl", *words, *sets)

    def _watch(self, wishes: str) -> None:
        devices = [*re.findall(r"set interface (\w+) type=dummy", wishes), *self._bridges]
        sets = []
        for device in devices:
            path = self.switch.directory / f"{device}.pcap"
            sets += ["--", "set", "interface", device, f"options:tx_pcap={path}"]
            self._captures[device] = Capture(path)
        self.switch.run("ovs-vsctl", "init", *sets)
        for name in self._bridges:
            path = self.switch.directory / f"{name}.mgmt"
            if not path.exists():
                # A bridge of a kind that there is not.
                continue
            self._controllers[name], self._writers[name] = Controller(path), Writer(path)
        if "br0" in self._bridges:
            self.switch.appctl("netdev-dummy/ip4addr", "br0", "1.1.2.88/24")
            for subnet, device in _ROUTES:
                self.switch.appctl("ovs/route/add", subnet, device)
            for address, mac in _NEIGHBOURS:
                self.switch.appctl("tnl/arp/set", "br0", address, mac)
        rows = re.findall(r"^ +(\S+) \d+/(\d+):", self.switch.control("dpif/show"), re.MULTILINE)
        self._names = {number: name for name, number in rows}

    def do(self, line: str) -> str:
        """What is seen of one line that changes no table."""
        kind, _, rest = line.partition(" ")
        words = rest.split(" ")
        if kind == "ofctl":
            return self._ofctl(words)
        if kind == "receive":
            return self._receive(words[0], words[-1])
        if kind == "trace":
            return self._traced(self.switch.appctl("ofproto/trace", *words))
        if kind == "packet-out":
            return self._traced(self.switch.appctl("ofproto/trace-packet-out", *words))
        said = masked(self.switch.appctl(*words))
        return "" if words[0] == "bond/set-active-member" else said

    def _ofctl(self, words: list[str]) -> str:
        done = self.switch.run("ovs-ofctl", *words, check=False)
        # What it logs is about flows that it cannot read itself.
        errors = re.sub(r"^\d{4}-.*\n|\*\*\* decode.*\n", "", done.stderr, flags=re.MULTILINE)
        return masked(done.stdout + errors)

    def change(self, bridge: str, lines: list[str]) -> list[str]:
        """Add flows, groups, meters; the error that each brought, or ""."""
        writer = self._writers.get(bridge)
        return writer.change(lines) if writer else ["no bridge"] * len(lines)

    def _receive(self, device: str, frame: str) -> str:
        said = self.switch.appctl("netdev-dummy/receive", device, frame)
        self.switch.appctl("time/warp", "20", "10")
        lines = [said, *self.arrived()]
        dump = masked(self.switch.appctl("dpctl/dump-flows", "-m"))
        lines += sorted(f"megaflow {line}" for line in dump.splitlines()[1:])
        self.switch.appctl("revalidator/purge")
        return "\n".join(lines)

    def arrived(self) -> list[str]:
        """The frames and messages that left since the last call. Which copy of a packet leaves
        first is no promise."""
        lines = [f"{name} sent {frame}" for name, capture in self._captures.items()
                 for frame in capture.sent()]  # fmt: skip
        lines += [f"{name} tells {message.hex()}" for name, controller in self._controllers.items()
                  for message in controller.received()]  # fmt: skip
        return sorted(lines)

    def _traced(self, text: str) -> str:
        def rename(found: re.Match[str]) -> str:
            port = r"(^|,|clone\()(\d+)(?=[,)]|$)"
            return found[1] + re.sub(
                port, lambda port: port[1] + self._names.get(port[2], port[2]), found[2]
            )

        text = re.sub(r"^(Datapath actions: )(.*)$", rename, text, flags=re.MULTILINE)
        # 3.1 does not list the flows of a conjunction.
        return re.sub(r"^ *-> conj\. .*\n", "", masked(text), flags=re.MULTILINE)

    def totals(self) -> Iterator[Seen]:
        """Everything that was counted and learned."""
        for name in self._bridges:
            for command in _TOTALS:
                line = command.format(name)
                text = self.do(line)
                # What its own tool cannot read is shown in bytes.
                text = re.sub(r"^[0-9a-f]{8}  .*\n", "", text, flags=re.MULTILINE)
                # Packets into tunnels count twice in 3.1, once more with their headers.
                text = re.sub(r"^  port 3\d: .*\n.*\n", "", text, flags=re.MULTILINE)
                # Rows come in the order of a hash table.
                yield Seen(line, "\n".join(sorted(filter(None, re.split(r"\n(?!  +tx)", text)))))
        for line in _ANYWHERE:
            yield Seen(line, "\n".join(sorted(self.do(line).splitlines())))


class Pair(NamedTuple):
    """Debian's switch and ours."""

    theirs: Side
    ours: Side

    def differences(
        self,
        lines: list[str],
        *,
        enough: Callable[[list[Different]], bool] = lambda _: False,
        with_totals: bool = True,
    ) -> list[Different]:
        """The lines of a world after which the switches differ, and how; not all of them if some
        are `enough`."""
        different: list[Different] = []

        def compare(line: str, theirs: str, ours: str) -> bool:
            if not alike(theirs, ours):
                different.append(Different(line, theirs, ours))
            return enough(different)

        for theirs, ours in zip(*(side.begin(lines) for side in self), strict=True):
            compare(theirs.line, theirs.text, ours.text)
            if theirs.text or ours.text:
                return different
        rest = [line for line in lines if not line.startswith("vsctl ")]
        for bridge, group in groupby(rest, _changed_bridge):
            if bridge:
                changes = list(group)
                said = [side.change(bridge, changes) for side in self]
                for line, *texts in zip(changes, *said, strict=True):
                    compare(line, *texts)
                continue
            for line in group:
                theirs_text, ours_text = (side.do(line) for side in self)
                if line.startswith("receive ") and theirs_text != ours_text:
                    theirs_text, ours_text = self._later(theirs_text, ours_text)
                if compare(line, theirs_text, ours_text):
                    return different
        if not with_totals:
            return different
        for one, other in zip(*(side.totals() for side in self), strict=True):
            if compare(one.line, one.text, other.text):
                break
        return different

    def _later(self, *texts: str) -> tuple[str, ...]:
        """What left in the end: a busy switch may answer before it forwards."""
        seen = [text.splitlines() for text in texts]

        def agree() -> bool:
            for side, lines in zip(self, seen, strict=True):
                side.switch.appctl("time/warp", "1")
                lines += side.arrived()
                lines.sort()
            return seen[0] == seen[1]

        wait_until(agree, 0.1)
        return tuple("\n".join(lines) for lines in seen)


def _changed_bridge(line: str) -> str:
    kind, bridge = f"{line} ".split(" ", 2)[:2]
    return bridge if kind in ("flow", "group", "meter") else ""


def alike(theirs: str, ours: str) -> bool:
    """Whether two texts say the same: the order in which a flood visits ports is no promise."""
    return theirs == ours or _unordered(theirs) == _unordered(ours)


def _unordered(text: str) -> Counter[tuple[str, ...]]:
    """Lines in no order, each with the words of its actions in no order."""
    # The last of several bridges that a trace leads to is shown further to the left.
    lines = [line.lstrip() for line in text.splitlines() if line.strip(" -")]
    return Counter(map(_words, lines))


def _words(line: str) -> tuple[str, ...]:
    head, found, actions = line.partition("actions:")
    if not found:
        return (head,)
    words = re.split(r"[,() ]+", re.sub(r"clone\(|recirc\(R?\)", "", actions))
    outputs = [word for word in words if _DEVICE.fullmatch(word)]
    if len(outputs) < 2:
        return (head, actions)
    # On the way to one port after the other, headers change here and change back there.
    changes = r"(push|pop)_(vlan|mpls)(\([^()]*\))?|set\(\w+\([^()]*\)\)|[()]"
    actions = re.sub(changes, "", actions.replace("clone(", ""))
    return (head, *sorted(filter(None, re.split(r"[, ]+", actions))))


def apart(theirs: str, ours: str) -> tuple[list[str], list[str]]:
    """The lines that only one of two texts has."""
    texts = [text.splitlines() for text in (theirs, ours)]
    words = [_unordered(text) for text in (theirs, ours)]
    return (
        [line for line in texts[0] if line.strip(" -") and _words(line.lstrip()) not in words[1]],
        [line for line in texts[1] if line.strip(" -") and _words(line.lstrip()) not in words[0]],
    )


def peer_sides(base: Path, ours: tuple[str, ...]) -> Pair:
    """Both switches, each in a directory of its own below `base`."""
    base.mkdir(exist_ok=True)
    os.environ.setdefault("TZ", "UTC")
    theirs = Side(base / "theirs", ("ovs-vswitchd",))
    try:
        return Pair(theirs, Side(base / "ours", ours))
    except BaseException:
        theirs.close()
        raise
