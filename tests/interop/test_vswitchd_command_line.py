"""The command line of ovs-vswitchd: what ours says is what Debian's says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.support.peers import peer_tools
from tests.support.switches import own_tools

from netloom.lab.commands import Result, run
from netloom.lab.switch import Programs

pytestmark = pytest.mark.interop


def call(programs: Programs, directory: Path, *options: str) -> Result:
    env = {"OVS_RUNDIR": str(directory), "OVS_LOGDIR": str(directory), **programs.env}
    path = ":".join((*programs.path, "/usr/bin", "/bin"))
    return run("ovs-vswitchd", *options, check=False, env={**env, "PATH": path})


@pytest.mark.parametrize(
    "options",
    [
        ("a", "b"),
        ("--nonsense",),
        ("--dpdk",),
        ("--unixctl",),
        ("--enable-d",),
        ("--help",),
        ("-Vx",),
        ("--pidfile=/nonexistent/directory/x.pid",),
    ],
)
def test_bad_and_simple_options_are_answered_alike(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    if options == ("--enable-d",):
        options = ("--enable-d", "a", "b")
    ours = call(own_tools(tmp_path / "tools"), tmp_path, *options)
    theirs = call(peer_tools(), tmp_path, *options)
    stamp = re.compile(r"^\S+Z\|\d+\|", re.M)
    # Options of Open vSwitch 3.7 that Debian's does not have yet.
    new = re.compile(r"^  --ssl-(?:ciphersuites|server-name)=.*\n", re.M)
    release = re.compile(r"\b3\.\d+\.\d+\b")
    seen = [
        (result.status, *(release.sub("R", stamp.sub("", new.sub("", text))) for text in texts))
        for result, texts in ((r, (r.stdout, r.stderr)) for r in (ours, theirs))
    ]
    assert seen[0] == seen[1]
