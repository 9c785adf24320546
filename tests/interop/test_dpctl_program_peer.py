"""ovs-dpctl: the command line of Debian's program, and the answers of the daemon's data paths."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.peer_switch import PeerSwitch
from tests.support.switches import own_tools

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, PeerSwitch]]:
    """Our tools, and a running switch of ours whose control socket is where tools look for it."""
    base = tmp_path_factory.mktemp("dpctl")
    own_tools(base / "bin")
    switch = PeerSwitch(base / "b", (str(base / "bin/ovs-vswitchd"), "--pidfile"))
    try:
        switch.add_bridge_of_two()
        pid = (base / "b/ovs-vswitchd.pid").read_text().strip()
        (base / f"b/ovs-vswitchd.{pid}.ctl").symlink_to(base / "b/switch.ctl")
        yield base, switch
    finally:
        switch.close()


def ours(world: tuple[Path, PeerSwitch], *words: str) -> subprocess.CompletedProcess[str]:
    base, switch = world
    return subprocess.run(
        [str(base / "bin/ovs-dpctl"), *words], env=switch.env, capture_output=True, text=True,
        timeout=100, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("words", ["dump-dps", "show", "-s show", "dump-flows dummy@ovs-dummy"])
def test_what_the_daemon_says_is_said(world: tuple[Path, PeerSwitch], words: str) -> None:
    options = [word for word in words.split() if word.startswith("-")]
    command, *rest = [word for word in words.split() if not word.startswith("-")]
    done = ours(world, *words.split())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == world[1].control(f"dpctl/{command}", *options, *rest)


WRONG = ["", "frobnicate", "add-dp", "show --frob", "del-dp a b", "--timeout=x show", "get-flow"]


@pytest.mark.parametrize("words", WRONG)
def test_wrong_command_lines_are_refused_alike(world: tuple[Path, PeerSwitch], words: str) -> None:
    theirs = world[1].run("ovs-dpctl", *words.split(), check=False)
    mine = ours(world, *words.split())
    assert (mine.returncode, mine.stderr) == (theirs.returncode, theirs.stderr)


def test_flows_put_in_by_hand_are_there(world: tuple[Path, PeerSwitch]) -> None:
    flow = "in_port(1),eth(),eth_type(0x0800),ipv4()"
    assert ours(world, "add-dp", "netdev@hand").returncode == 0
    assert ours(world, "add-flow", "netdev@hand", flow, "2").returncode == 0
    shown = ours(world, "dump-flows", "netdev@hand").stdout
    assert "in_port(1)" in shown and "actions:2" in shown
    assert ours(world, "del-flow", "netdev@hand", flow).returncode == 0
    assert "actions" not in ours(world, "dump-flows", "netdev@hand").stdout
    assert ours(world, "del-dp", "netdev@hand").returncode == 0
