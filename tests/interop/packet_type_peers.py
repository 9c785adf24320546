"""Two switches that are told the same: scenarios, their comparable answers, and the frames sent.

A scenario is lines of commands for both switches; words are split as a shell does. `vsctl`, `ofctl`
and `appctl` run one command of the tools, `sort` the lines of what an appctl command says, `frames`
tells what left a device whose pcap is kept. `$MAC` and the like are given by `set NAME VALUE`.
"""

from __future__ import annotations

import re
import shlex
from difflib import unified_diff
from pathlib import Path

from tests.support.peer_switch import PeerSwitch
from tests.support.peers import wait_until
from tests.support.releases import as_later


class Scenario:
    """One part of a file: its name and its commands."""

    def __init__(self, text: str) -> None:
        name, _, body = text.partition("\n")
        self.name = name.strip()
        self.lines = [
            line for line in body.splitlines() if line.strip() and not line.startswith("#")
        ]


def read_scenarios(path: Path) -> list[Scenario]:
    return [Scenario(part) for part in path.read_text().split("=== ")[1:]]


def normal(text: str) -> str:
    """`text` with what is nobody's business made equal: numbers of recirculations, by their
    order, and times."""
    seen: dict[str, str] = {}

    def number(found: re.Match[str]) -> str:
        return found[1] + seen.setdefault(found[2], f"R{len(seen) + 1}") + found[3]

    text = re.sub(r"(recirc_id[(=]|recirc\()(0x[0-9a-f]+)([),]|$)", number, text, flags=re.M)
    text = re.sub(r"recirc_id=\d+,rule_cookie", "recirc_id=N,rule_cookie", text)
    text = re.sub(r"ufid:[0-9a-f-]+, |, dp-extra-info:\S+", "", text)
    # Whether a packet overtakes the flow that the one before it made is chance.
    text = re.sub(r"packets:\d+, bytes:\d+, used:[^,]+", "packets:N", text)
    return re.sub(r"duration=[0-9.]+s", "duration=Ts", text)


def frames_of(data: bytes) -> list[bytes]:
    """The frames in a pcap file, whose records have 16 bytes of header."""
    frames, at = [], 24
    while at + 16 <= len(data):
        length = int.from_bytes(data[at + 8 : at + 12], "little")
        frames.append(data[at + 16 : at + 16 + length])
        at += 16 + length
    return frames


def run_line(switch: PeerSwitch, line: str, names: dict[str, str]) -> str:
    """What one switch answers to one command."""
    for name, value in names.items():
        line = line.replace(f"${name}", value)
    kind, *words = shlex.split(line.replace("$DIR", str(switch.directory)))
    if kind == "set":
        names[words[0]] = " ".join(words[1:])
        return ""
    if kind in ("vsctl", "ofctl"):
        done = switch.run(f"ovs-{kind}", "--timeout=60", *words, check=False)
        errors = re.sub(r"^[^|]*\|[^|]*\|", "", done.stderr, flags=re.M)
        return normal(f"{done.returncode} {done.stdout}{errors}")
    if kind == "frames":
        data = (switch.directory / f"{words[0]}.pcap").read_bytes()
        return "\n".join(frame.hex() for frame in frames_of(data))
    answer = normal(as_later(switch.appctl(*words)))
    if kind == "sort":
        # Numbers by order say nothing where there is no order.
        answer = "\n".join(sorted(re.sub(r"\bR\d+\b", "R", answer).splitlines()))
    return answer


def differences(scenario: Scenario, theirs: PeerSwitch, ours: PeerSwitch) -> list[str]:
    """Every command that the two answer differently, and how."""
    different = []
    names: dict[str, str] = {}
    for line in scenario.lines:
        told: list[str] = []

        def agree(line: str = line, told: list[str] = told) -> bool:
            told[:] = [run_line(switch, line, names) for switch in (theirs, ours)]
            return told[0] == told[1]

        # A flow or a frame may take a moment; other answers are there at once.
        if not (wait_until(agree) if line.startswith(("sort ", "frames ")) else agree()):
            lines = unified_diff(*(text.splitlines() for text in told), "theirs", "ours", n=0)
            different.append("\n".join([f"### {line}", *lines]))
    return different


def clear(switch: PeerSwitch) -> None:
    """Take away what a scenario has made."""
    for bridge in switch.run("ovs-vsctl", "list-br").stdout.split():
        switch.run("ovs-vsctl", "del-br", bridge)
    switch.run("ovs-vsctl", "clear", "Open_vSwitch", ".", "other_config")
