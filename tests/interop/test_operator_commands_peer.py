"""What operators ask a running switch: Debian's switch and ours answer the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.peer_switch import CommandFailed, PeerSwitch
from tests.support.switches import own_tools

pytestmark = pytest.mark.interop
CORPUS = Path(__file__).parent / "operator_commands.txt"


@pytest.fixture(scope="module")
def switches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PeerSwitch, PeerSwitch]]:
    base = tmp_path_factory.mktemp("commands")
    own_tools(base / "bin")
    theirs, ours = PeerSwitch(base / "a"), PeerSwitch(base / "b", (str(base / "bin/ovs-vswitchd"),))
    try:
        for switch in (theirs, ours):
            switch.add_bridge_of_two()
        yield theirs, ours
    finally:
        for switch in (theirs, ours):
            switch.close()


#: A feature of data paths that Debian's release does not know.
NEWER = "psample action: No\n"


def ask(switch: PeerSwitch, words: list[str]) -> tuple[bool, str]:
    """Whether the command succeeded, and what it said."""
    try:
        return True, switch.control(*words).replace(NEWER, "")
    except CommandFailed as failed:
        return False, str(failed)


def test_commands_answer_as_the_peers(switches: tuple[PeerSwitch, PeerSwitch]) -> None:
    # In order, for some change what the next ones see.
    different = []
    for line in CORPUS.read_text().splitlines()[1:]:
        theirs, ours = (ask(switch, line.split()) for switch in switches)
        if theirs != ours:
            different.append(f"{line}\n theirs: {theirs}\n ours:   {ours}")
    assert not different, "\n".join(different)


def test_every_command_of_the_peer_is_there(switches: tuple[PeerSwitch, PeerSwitch]) -> None:
    theirs, ours = (set(switch.control("list-commands").splitlines()) for switch in switches)
    missing = {line for line in theirs - ours if not line.startswith(LATER)}
    assert {line.split()[0] for line in missing} == EXTENDED


#: What 3.7 takes more words for.
EXTENDED = {"dpctl/flush-conntrack", "dpctl/ct-del-limits", "dpif/set-dp-features"}
#: What belongs to tunnels.
LATER = ("  tnl/", "  ovs/route/", "  netdev-dummy/ip", "  dpctl/ipf-", "  ofproto/list-tunnels")
