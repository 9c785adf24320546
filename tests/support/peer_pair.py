"""Debian's switch and ours side by side: told the same, asked the same, and what they agree on.

    @pytest.fixture
    def switches(tmp_path: Path) -> Iterator[PeerPair]:
        with peer_pair(tmp_path, prepare) as pair:
            yield pair

`agree` waits a little for the same answer of both, as the peer has threads, and fails the test with
the difference.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

import pytest
from tests.support.peer_switch import ALL_DUMMIES, PeerSwitch
from tests.support.peers import PATIENCE_S, wait_until
from tests.support.switches import own_tools

T = TypeVar("T")
#: Words for ovs-vsctl: two bridges, and a patch port of each that leads to the other.
PATCHED = (
    "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy",
    "--", "add-br", "br1", "--", "set", "bridge", "br1", "datapath_type=dummy",
    "--", "add-port", "br0", "p0", "--", "set", "interface", "p0", "type=patch",
    "options:peer=p1", "ofport_request=1",
    "--", "add-port", "br1", "p1", "--", "set", "interface", "p1", "type=patch",
    "options:peer=p0", "ofport_request=1",
)  # fmt: skip


def _as_it_is(text: str) -> str:
    return text


class PeerPair(NamedTuple):
    """The two switches."""

    theirs: PeerSwitch
    ours: PeerSwitch

    def configure(self, *words: str) -> None:
        """Give both the same words of ovs-vsctl."""
        for switch in self:
            switch.run("ovs-vsctl", *words)

    def control(self, *words: str) -> None:
        """Give both daemons the same command."""
        for switch in self:
            switch.control(*words)

    def warp(self, ms: int, step_ms: int = 100) -> None:
        """Let the same time pass for both."""
        self.control("time/warp", str(ms), str(step_ms))

    def agree(
        self, *words: str, shown: Callable[[str], str] = _as_it_is, timeout_s: float = PATIENCE_S
    ) -> str:
        """What both daemons answer to a command, as far as it is `shown`."""
        return self.agree_on(lambda switch: shown(switch.control(*words)), timeout_s=timeout_s)

    def agree_on(
        self,
        look: Callable[[PeerSwitch], T],
        *,
        timeout_s: float = PATIENCE_S,
        each_time: Callable[[], None] | None = None,
        told: Callable[[T, T], str] | None = None,
    ) -> T:
        """What is seen of both; `each_time` comes before each look, `told` says how theirs and ours
        differ."""
        seen: list[T] = []

        def is_same() -> bool:
            if each_time is not None:
                each_time()
            seen[:] = [look(switch) for switch in self]
            return seen[0] == seen[1]

        if not wait_until(is_same, timeout_s):
            pytest.fail((told or _difference)(*seen))
        return seen[1]


def _difference(theirs: object, ours: object) -> str:
    lines = [
        "\n".join(map(str, one)) if isinstance(one, list | tuple) else str(one)
        for one in (theirs, ours)
    ]
    return "\n".join(difflib.unified_diff(*(text.splitlines() for text in lines), lineterm=""))


def stop_time(switch: PeerSwitch) -> None:
    """Let time pass only when it is told to (`PeerPair.warp`)."""
    switch.control("time/stop")


def patch_bridges(switch: PeerSwitch) -> None:
    """Have two bridges that are patched to one another, and time stand still."""
    stop_time(switch)
    switch.run("ovs-vsctl", *PATCHED)


@contextmanager
def peer_pair(
    directory: Path,
    prepare: Callable[[PeerSwitch], None] | None = None,
    options: tuple[str, ...] = ALL_DUMMIES,
) -> Iterator[PeerPair]:
    """Both switches, each prepared, until the end of the block."""
    own_tools(directory / "bin")
    theirs = PeerSwitch(directory / "a", options=options)
    try:
        ours = PeerSwitch(directory / "b", (str(directory / "bin/ovs-vswitchd"),), options)
        try:
            pair = PeerPair(theirs, ours)
            if prepare is not None:
                for switch in pair:
                    prepare(switch)
            yield pair
        finally:
            ours.close()
    finally:
        theirs.close()
