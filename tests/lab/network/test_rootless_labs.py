"""A lab of an ordinary user: up, packets through tunnels, DHCP and NAT, down; no root anywhere."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.peers import wait_until
from tests.support.switches import ROOT, needs_root, own_tools

from netloom.base.errors import NetloomError
from netloom.lab import rootless
from netloom.lab.peers import peer_root
from netloom.lab.process import MAIN
from netloom.network.agents.lives import command_line

#: Somebody without rights and without a home.
NOBODY = 65534
LAB = """\
name: mine
tunnels: [vxlan]
hosts:
  net: {physical: [physnet1, public], network_node: true}
  node:
networks:
  public:
    external: true
    type: flat
    physical: public
    subnets: [203.0.113.0/24]
    outside: 203.0.113.254/24
  blue: {subnets: [10.0.0.0/24]}
routers:
  r1: {gateway: public, networks: [blue]}
security_groups:
  open: [{protocol: icmp}]
vms:
  vm1: {host: node, network: blue, groups: [open], floating: public}
  vm2: {host: net, network: blue, groups: [open]}
"""


class User:
    """Runs `netloom` as somebody without rights."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        environment = folder / "v"
        (environment / "bin").mkdir(parents=True)
        (environment / "bin/python").symlink_to(Path(sys.executable).resolve())
        shutil.copy(Path(sys.prefix) / "pyvenv.cfg", environment)
        (environment / "lib").symlink_to(Path(sys.prefix) / "lib")
        own_tools(environment / "bin")
        if (peer_root("services") / "usr").exists():
            shutil.copytree(peer_root("services"), folder / "services", symlinks=True)
        (folder / "lab.yml").write_text(LAB)

    def run(self, *words: str, path: str = "/usr/bin:/bin") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ("timeout", "200", str(self.folder / "v/bin/python"), "-c", MAIN, *words),
            cwd=self.folder,
            env={
                "PATH": path,
                "HOME": "/nonexistent",
                "XDG_RUNTIME_DIR": str(self.folder / "run"),
                "NETLOOM_PEERS": str(self.folder),
                "PYTHONPATH": str(ROOT / "src"),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            capture_output=True,
            text=True,
            user=NOBODY if os.geteuid() == 0 else None,
            group=NOBODY if os.geteuid() == 0 else None,
            extra_groups=[] if os.geteuid() == 0 else None,
            check=False,
        )


@pytest.fixture
def user() -> Iterator[User]:
    # Not below the tests' own directory, which is root's alone.
    folder = Path(tempfile.mkdtemp(prefix="nl"))
    folder.chmod(0o755)
    try:
        made = User(folder)
        (folder / "run").mkdir()
        os.chown(folder / "run", NOBODY, NOBODY)
        if made.run("--help").returncode:
            pytest.skip("this checkout or its environment may be read by root only")
        if made.run("doctor").stdout.find("no user namespaces") >= 0:
            pytest.skip("users may not make user namespaces here")
        yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@needs_root
@pytest.mark.root
def test_a_lab_stands_without_root(user: User) -> None:
    up = user.run("lab", "up", "lab.yml")
    assert up.returncode == 0, up.stdout + up.stderr
    keeper = int((user.folder / "run/netloom/keeper").read_text())
    try:
        assert Path(f"/proc/{keeper}").stat().st_uid == NOBODY
        assert not (Path("/run/netns") / "mine-net").exists(), "nothing is left to be seen outside"
        inspected = user.run("lab", "inspect")
        assert inspected.returncode == 0, inspected.stdout
        rows = {line.split()[1]: line for line in inspected.stdout.splitlines()}
        address = rows["vm2"].split()[3].rstrip(",")
        ping = ("ping", "-n", "-q", "-c", "3", "-i", "0.3", "-W", "1")
        for target in (address, "10.0.0.1", "203.0.113.254"):
            words = ("lab", "exec", "vm1", *ping, target)
            assert wait_until(lambda: user.run(*words).returncode == 0), target  # noqa: B023
        shown = user.run("lab", "exec", "net", "ovs-vsctl", "show")
        assert "type: vxlan" in shown.stdout
        assert '"vm vm1" -- "host node" [label="blue"];' in user.run("lab", "graph").stdout
        assert "labs: mine\n" in user.run("status").stdout, "seen from outside, too"
        found = user.run("doctor")
        assert found.returncode == 0, found.stdout
        assert "ok    leftovers  none" in found.stdout, found.stdout
        strange = user.run("lab", "exec", "vm9", "true")
        assert strange.stderr == (
            "netloom: no host or machine 'vm9' in mine (there are: net, node, vm1, vm2)\n"
        )
        down = user.run("lab", "down")
        assert down.stdout == "lab mine is gone\n", down.stderr
    finally:
        user.run("lab", "down", "mine")
    assert wait_until(lambda: not command_line(keeper)), "the keeper has gone with the lab"
    assert user.run("lab", "inspect").returncode == 1


@needs_root
@pytest.mark.root
@pytest.mark.parametrize("story", ["vlan", "networks"])
def test_the_stories_are_told_without_root(user: User, story: str) -> None:
    told = user.run("demo", story)
    assert told.returncode == 0, told.stdout + told.stderr
    last = told.stdout.strip().splitlines()[-1].split()
    assert last[1:] == ["of", last[0], "checks", "hold."]
    assert not list((user.folder / "run/netloom/run/netloom").iterdir())


@needs_root
@pytest.mark.root
def test_a_lab_whose_keeper_was_killed_is_gone_and_can_be_taken_down(user: User) -> None:
    (user.folder / "small.yml").write_text("name: mine\nhosts: {one: }\n")
    assert user.run("lab", "up", "small.yml").returncode == 0
    service = int((user.folder / "run/netloom/run/netloom/mine/service.pid").read_text())
    os.kill(int((user.folder / "run/netloom/keeper").read_text()), signal.SIGKILL)
    lost = user.run("lab", "exec", "one", "true")
    assert lost.returncode == 1
    assert "one is gone, its namespace with it; netloom lab down mine" in lost.stderr
    assert user.run("lab", "down").stdout == "lab mine is gone\n"
    assert wait_until(lambda: not command_line(service))
    assert user.run("status").stdout.endswith("labs: none\n")


@needs_root
@pytest.mark.root
def test_what_needs_root_is_refused_with_the_remedy(user: User) -> None:
    (user.folder / "kernel.yml").write_text("name: mine\ndatapath: kernel\nhosts: {one: }\n")
    refused = user.run("lab", "up", "kernel.yml")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == (
        "netloom: lab mine: the kernel data path needs root; run as root, or say "
        "`datapath: userspace`\n"
    )


@needs_root
@pytest.mark.root
@pytest.mark.parametrize(
    "words", [("demo", "vlan"), ("lab", "up"), ("lab", "inspect"), ("lab", "down")], ids=" ".join
)
def test_where_users_have_no_namespaces_that_is_said_with_the_remedy(
    user: User, words: tuple[str, ...]
) -> None:
    unshare = user.folder / "bin/unshare"
    unshare.parent.mkdir()
    unshare.write_text("#!/bin/sh\necho 'unshare: Operation not permitted' >&2\nexit 1\n")
    unshare.chmod(0o755)
    refused = user.run(*words, path=f"{unshare.parent}:/usr/bin:/bin")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == (
        "netloom: no user namespace (unshare: Operation not permitted); run as root, or see "
        "`netloom doctor`\n"
    )
    said = user.run("doctor", path=f"{unshare.parent}:/usr/bin:/bin")
    assert said.returncode == 1
    assert "FAIL  rights     no user namespaces: unshare: Operation not permitted" in said.stdout


def test_only_what_needs_namespaces_goes_into_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for words in (["lab", "up"], ["demo", "vlan"], ["clean-host"], ["lab", "exec", "a", "ls"]):
        assert rootless.is_needed(words)
    for words in (
        [],
        ["doctor"],
        ["lab", "--help"],
        ["lab", "up", "--check"],
        ["network", "serve"],
    ):
        assert not rootless.is_needed(words)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert not rootless.is_needed(["lab", "up"])


def test_a_directory_that_somebody_else_has_made_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert rootless.home_of(7, "") == Path(tempfile.gettempdir()) / "netloom-7"
    trap = tmp_path / "netloom"
    trap.mkdir()
    trap.chmod(0o777)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with pytest.raises(NetloomError, match="is not this user's own directory"):
        rootless.run(["lab", "inspect"])
