"""Debian's Open vSwitch for tests: where its programs are, and waiting for what they do."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from netloom.base.errors import Unsupported
from netloom.lab.peers import debian_programs, peer_root, service_program
from netloom.lab.switch import Programs

SOURCE = Path(__file__).resolve().parents[2] / "src"
#: The schema that both sides' databases are made with, unless a test is about schemas.
SCHEMA = SOURCE / "netloom/ovsdb/schemas/vswitch.ovsschema"
#: How long a test waits for what another process does. It is over as soon as that is done: only a
#: test that fails takes so long, and a busy machine makes none fail.
PATIENCE_S = 40.0


def peer_tools() -> Programs:
    """Debian's programs; skips the test if they are not unpacked here."""
    try:
        return debian_programs()
    except Unsupported as error:
        pytest.skip(str(error))


def require_services() -> None:
    """Skip the test where the programs of agents for DHCP and routers are neither installed nor
    unpacked."""
    try:
        for name in ("dnsmasq", "nft"):
            service_program(name)
    except Unsupported as missing:
        pytest.skip(f"this machine lacks a program: {missing}")


def python_peer(name: str, program: str = "python") -> Path:
    """A program of the environment of a peer in Python; skips the test where there is none."""
    path = peer_root(name) / "bin" / program
    if not path.exists():
        pytest.skip(f"this machine lacks {path} (tools/fetch_peers.py {name})")
    return path


def peer_environment(rundir: Path) -> dict[str, str]:
    """The environment to run Debian's programs in, with every run-time file in `rundir`; this
    checkout's modules are found in it too. Skips the test without the programs."""
    programs = peer_tools()
    env = {**os.environ, **programs.env}
    env["PATH"] = os.pathsep.join([*programs.path, os.environ["PATH"]])
    for name in ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"):
        env[name] = str(rundir)
    env["PYTHONPATH"] = str(SOURCE)
    return env


def wait_until(
    what: Callable[[], bool], seconds: float = PATIENCE_S, every_s: float = 0.02
) -> bool:
    """Whether `what` becomes true in time: the one place where tests sleep."""
    give_up = time.monotonic() + seconds
    while not what():
        if time.monotonic() > give_up:
            return False
        time.sleep(every_s)
    return True


def await_path(path: Path, seconds: float = PATIENCE_S) -> None:
    """Return when `path` exists: a daemon's socket, say."""
    assert wait_until(path.exists, seconds), f"{path} did not appear"
