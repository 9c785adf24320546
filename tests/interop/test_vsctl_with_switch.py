"""ovs-vsctl waits for the switch and tells what it could not set up (Debian's, dummy devices)."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.peers import await_path, peer_environment

pytestmark = pytest.mark.interop
SOURCE = Path(__file__).parents[2] / "src"
OURS = (sys.executable, "-I", "-S", str(SOURCE / "netloom/programs/launch.py"), "ovs-vsctl")
#: Debian's switch needs Debian's schema.


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a running ovsdb-server and ovs-vswitchd of Debian's."""
    rundir = tmp_path_factory.mktemp("switch")
    env = peer_environment(rundir)
    database = rundir / "conf.db"
    schema = Path(env["OVS_PKGDATADIR"], "vswitch.ovsschema")
    subprocess.run(["ovsdb-tool", "create", database, schema], env=env, check=True)
    quiet = {"env": env, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(
        ["ovsdb-server", f"--remote=punix:{rundir}/db.sock", f"--unixctl={rundir}/c", database],
        **quiet,  # type: ignore[call-overload]
    )
    await_path(rundir / "db.sock")
    subprocess.run([*OURS, "--no-wait", "init"], env=env, check=True)
    switch = subprocess.Popen(
        ["ovs-vswitchd", "--enable-dummy=override", f"--unixctl={rundir}/v"],
        **quiet,  # type: ignore[call-overload]
    )
    yield env
    for process in (switch, server):
        process.terminate()
        process.wait()


def vsctl(env: dict[str, str], *words: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [*OURS, "--timeout=60", *words], env=env, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


def test_returns_when_the_switch_has_made_the_port(env: dict[str, str]) -> None:
    assert vsctl(env, "add-br", "br0", "--", "add-port", "br0", "p1") == (0, "", "")
    status, out, _ = vsctl(env, "get", "interface", "p1", "ofport")
    assert (status, out) == (0, "1\n")


def test_port_without_a_device_is_reported_with_exit_status_65(env: dict[str, str]) -> None:
    vsctl(env, "--may-exist", "add-br", "br0")
    status, out, err = vsctl(
        env, "add-port", "br0", "bad", "--", "set", "interface", "bad", "type=bogus"
    )
    assert (status, out) == (65, "")
    assert err == (
        "ovs-vsctl: Error detected while setting up 'bad': could not open network device bad "
        "(Address family not supported by protocol).  See ovs-vswitchd log for details.\n"
        f'ovs-vsctl: The default log directory is "{env["OVS_LOGDIR"]}".\n'
    )
    assert vsctl(env, "list-ports", "br0")[1].split()[0] == "bad"
    assert vsctl(env, "del-port", "bad")[0] == 0


def test_dry_run_changes_nothing_and_does_not_wait(env: dict[str, str]) -> None:
    assert vsctl(env, "--dry-run", "add-br", "dry") == (0, "", "")
    assert vsctl(env, "br-exists", "dry")[0] == 2


def test_timeout_ends_the_tool_by_sigalrm(env: dict[str, str]) -> None:
    status, _, err = vsctl(env, "--timeout=1", "wait-until", "bridge", "never")
    assert status == -signal.SIGALRM
    assert err.endswith("|00001|fatal_signal|WARN|terminating with signal 14 (Alarm clock)\n")


def test_wait_until_sees_a_later_change(env: dict[str, str]) -> None:
    waiting = subprocess.Popen(
        [*OURS, "-t10", "wait-until", "bridge", "later", "--", "get", "bridge", "later", "name"],
        env=env, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert vsctl(env, "add-br", "later")[0] == 0
    assert waiting.communicate()[0] == "later\n"


def test_parallel_runs_lose_no_change(env: dict[str, str]) -> None:
    vsctl(env, "--may-exist", "add-br", "many")
    runs = [
        subprocess.Popen([*OURS, "-t", "20", "add-port", "many", f"q{n}"], env=env)
        for n in range(8)
    ]
    assert [run.wait() for run in runs] == [0] * 8
    assert vsctl(env, "list-ports", "many")[1].split() == [f"q{n}" for n in range(8)]
