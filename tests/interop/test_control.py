"""Debian's ovs-appctl against our control side, our ovs-appctl against Debian's daemons."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.peers import peer_environment, wait_until

pytestmark = pytest.mark.interop

SOURCE = Path(__file__).parents[2] / "src"


class Bench:
    """A run directory, with the tools of both sides."""

    def __init__(self, rundir: Path) -> None:
        self.rundir = rundir
        self.env = peer_environment(rundir)

    def run(self, *argv: str, timeout: float = 20) -> tuple[int, str, str]:
        done = subprocess.run(
            argv, env=self.env, capture_output=True, text=True, timeout=timeout, check=False
        )
        return done.returncode, done.stdout, re.sub(r"(?m)^[-0-9T:]+Z\|", "", done.stderr)

    def theirs(self, *argv: str) -> tuple[int, str, str]:
        return self.run("ovs-appctl", *argv)

    def ours(self, *argv: str) -> tuple[int, str, str]:
        return self.run(sys.executable, "-m", "netloom.programs.appctl", *argv)

    def daemon(self, *argv: str) -> tuple[int, str, str]:
        script = str(Path(__file__).with_name("control_daemon.py"))
        return self.run(sys.executable, script, *argv)

    def pid(self, name: str) -> int:
        return int((self.rundir / f"{name}.pid").read_text())

    def kill(self, name: str) -> None:
        """End a daemon if it still runs, and its monitor with it."""
        try:
            os.kill(self.pid(name), signal.SIGTERM)
        except (FileNotFoundError, ProcessLookupError):
            return
        assert wait_until(lambda: not (self.rundir / f"{name}.pid").exists())


@pytest.fixture(scope="module")
def module_bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    made = Bench(tmp_path_factory.mktemp("run"))
    if shutil.which("ovs-appctl", path=made.env["PATH"]) is None:
        pytest.skip("no ovs-appctl of Debian's openvswitch here (tools/fetch_peers.py)")
    return made


@pytest.fixture(scope="module")
def their_daemon(module_bench: Bench) -> Iterator[Bench]:
    """Debian's ovsdb-server."""
    code, _, error = module_bench.run(
        "ovsdb-server", "--no-db", "--detach", "--pidfile", "--log-file", "-vconsole:off"
    )
    assert code == 0, error
    (module_bench.rundir / "dead.pid").write_text("99999\n")
    (module_bench.rundir / "odd.pid").write_text("x\n")
    yield module_bench
    module_bench.kill("ovsdb-server")


@pytest.fixture
def bench(tmp_path: Path, module_bench: Bench) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def our_daemon(bench: Bench) -> Iterator[Bench]:
    code, _, error = bench.daemon("--detach", "--pidfile", "--log-file", "-vconsole:off")
    assert code == 0, error
    yield bench
    bench.kill("test-daemon")


S = ["-t", "ovsdb-server"]


@pytest.mark.parametrize(
    "argv",
    [
        [*S, "version"],
        [*S, "list-commands"],
        [*S, "vlog/list"],
        [*S, "vlog/list-pattern"],
        [*S, "nosuch"],
        [*S, "vlog/set", "xx:yy"],
        [*S, "coverage/read-counter"],
        [*S, "ovsdb-server/sync-status", "x"],
        ["-tovsdb-server", "-T5", "version"],
        ["--target=ovsdb-server", "--tim", "5", "version"],
        [*S, "-e", "version"],
        [*S, "-ee", "version"],
        [*S, "--", "version"],
        [*S, "version", "--foo"],
        [*S, "--log-file=/nonexistent/x", "version"],
        [*S, "--syslog-method=foo", "version"],
        [*S, "--syslog-method=null", "version"],
        [*S, "--syslog-target=foo", "version"],
        [*S, "-vjsonrpc:dbg", "nosuch", 'b"c'],
        [*S, "-vPATTERN:console:%c|%p|%m", "--verbose=jsonrpc:dbg", "version"],
        ["-vfoo", "version"],
        ["-vPATTERN:x:y", "version"],
        ["--foo=bar", "version"],
        ["--t", "version"],
        ["--ver=3"],
        ["-T"],
        ["-x"],
        [],
        ["--timeout"],
        ["version"],
        ["-t", "/nosuch", "version"],
        ["-vconsole:off", "-t", "/nosuch", "version"],
        ["-t", "dead", "version"],
        ["-t", "odd", "version"],
        ["-T", "0x", "version"],
        ["-T", "0", "version"],
        ["-T", "-3", "version"],
    ],
)
def test_our_appctl_does_what_theirs_does(their_daemon: Bench, argv: list[str]) -> None:
    expected = their_daemon.theirs(*argv)
    got = their_daemon.ours(*argv)
    # The C program also logs its poll loop, which ours does not have.
    their_error = "".join(line for line in expected[2].splitlines(True) if "poll_loop" not in line)
    serial = re.compile(r"(?m)^\d{5}\|")
    assert got[:2] == expected[:2]
    assert serial.sub("", got[2]) == serial.sub("", their_error)


def test_timeout_ends_our_appctl_by_sigalrm_as_theirs(their_daemon: Bench) -> None:
    pid = their_daemon.pid("ovsdb-server")
    os.kill(pid, signal.SIGSTOP)
    try:
        expected = their_daemon.theirs(*S, "-T1", "version")
        assert their_daemon.ours(*S, "-T1", "version") == expected
        assert expected[0] == -signal.SIGALRM
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize(
    ("argv", "answer"),
    [
        (["version"], (0, "test-daemon (Open vSwitch) 3.7.0\n", "")),
        (["echo-args", "a", "b c"], (0, "a|b c\n", "")),
        (["echo-args"], (0, "", "")),
        (["refuse", "x"], (2, "", "refused: x\n")),
        (["refuse"], (2, "", '"refuse" command requires at least 1 arguments\n')),
        (["exit", "a", "b"], (2, "", '"exit" command takes at most 1 arguments\n')),
        (["coverage/read-counter", "tests_run"], (0, "3\n", "")),
        (["coverage/read-counter", "x"], (2, "", "No such counter\n")),
        (["memory/show"], (0, "cells:0 rows:7\n", "")),
        (["vlog/set", "test_daemon:dbg"], (0, "", "")),
        (["vlog/set", "nosuch"], (2, "", 'no destination, level, or module "nosuch"\n')),
        (["vlog/disable-rate-limit", "nosuch"], (2, "", "unknown module\n")),
        (["time/warp", "x"], (2, "", "invalid MSECS\n")),
    ],
)
def test_both_appctls_get_the_same_from_our_daemon(
    our_daemon: Bench, argv: list[str], answer: tuple[int, str, str]
) -> None:
    code, output, error = answer
    if code:
        error += "ovs-appctl: test-daemon: server returned an error\n"
    for appctl in (our_daemon.theirs, our_daemon.ours):
        assert appctl("-t", "test-daemon", *argv) == (code, output, error)


def test_coverage_is_shown_in_their_columns(our_daemon: Bench) -> None:
    _, text, _ = our_daemon.theirs("-t", "test-daemon", "coverage/show")
    header, *lines, rest = text.splitlines()
    assert re.fullmatch(
        "Event coverage, avg rate over last: 5 seconds, last minute, last hour,  hash=[0-9a-f]{8}:",
        header,
    )
    line = "tests_run                  0.0/sec     0.000/sec        0.0000/sec   total: 3"
    assert line in lines
    assert re.fullmatch(r"\d events never hit", rest)


def test_time_moves_only_by_warp_once_stopped(our_daemon: Bench) -> None:
    def appctl(*argv: str) -> str:
        code, output, error = our_daemon.theirs("-t", "test-daemon", *argv)
        assert code == 0, error
        return output.strip()

    assert appctl("time/stop") == ""
    before = int(appctl("ticks"))
    time.sleep(0.3)
    assert int(appctl("ticks")) == before
    assert appctl("time/warp", "1000", "100") == "warped"
    assert int(appctl("ticks")) == before + 10


def test_json_is_asked_for_and_printed(our_daemon: Bench) -> None:
    def appctl(*argv: str) -> tuple[int, str, str]:
        return our_daemon.ours("-t", "test-daemon", *argv)

    assert appctl("-f", "json", "echo-args", "a") == (
        0,
        '{"reply":"a","reply-format":"plain"}\n',
        "",
    )
    _, text, _ = appctl("--format=json", "--pretty", "list-commands")
    assert text.startswith('{\n  "coverage/read-counter": "COUNTER",\n  "coverage/show": "",\n')
    assert text.endswith('PATTERN:destination:pattern}"}\n')
    assert appctl("--pretty", "version")[::2] == (
        1,
        "ovs-appctl: --pretty is supported with --format json only\n",
    )
    assert appctl("-f", "xml", "version")[::2] == (
        1,
        "ovs-appctl: value xml on -f or --format is invalid\n",
    )


def test_second_daemon_is_refused_and_stale_pid_file_is_not_in_the_way(
    our_daemon: Bench,
) -> None:
    pid = our_daemon.pid("test-daemon")
    path = our_daemon.rundir / "test-daemon.pid"
    assert our_daemon.daemon("--detach", "--pidfile") == (
        1,
        "",
        f"test-daemon: {path}: already running as pid {pid}, aborting\n",
    )
    os.kill(pid, signal.SIGKILL)
    assert path.exists()
    assert our_daemon.theirs("-t", "test-daemon", "version")[0] == 1
    assert our_daemon.daemon("--detach", "--pidfile", "-vconsole:off")[0] == 0
    assert our_daemon.pid("test-daemon") != pid


def test_exit_is_answered_and_leaves_nothing_behind(our_daemon: Bench) -> None:
    assert our_daemon.theirs("-t", "test-daemon", "exit", "--cleanup") == (0, "", "")
    assert wait_until(lambda: sorted(os.listdir(our_daemon.rundir)) == ["test-daemon.log"])


def test_termination_is_logged_and_leaves_nothing_behind(our_daemon: Bench) -> None:
    our_daemon.kill("test-daemon")
    assert wait_until(lambda: sorted(os.listdir(our_daemon.rundir)) == ["test-daemon.log"])
    log = (our_daemon.rundir / "test-daemon.log").read_text()
    assert log.endswith("|fatal_signal|WARN|terminating with signal 15 (Terminated)\n")


@pytest.mark.parametrize("code", [1, 7])
def test_failure_before_readiness_is_the_starters_exit_status(bench: Bench, code: int) -> None:
    assert bench.daemon("--detach", f"--fail={code}")[0] == code
    assert bench.daemon("--detach", "--monitor", f"--fail={code}")[0] == code


def test_control_socket_that_cannot_be_made_stops_the_start(bench: Bench) -> None:
    code, _, error = bench.daemon("--detach", "--unixctl=/nosuch/x", "-vconsole:off")
    assert (code, error) == (
        1,
        "test-daemon: /nosuch/x: could not initialize control socket (No such file or directory)\n",
    )


def test_monitor_starts_a_crashed_daemon_again(bench: Bench) -> None:
    options = ("--detach", "--monitor", "--pidfile", "--log-file", "--unixctl=ctl")
    assert bench.daemon(*options, "-vconsole:off")[0] == 0
    first = bench.pid("test-daemon")
    target = ("-t", str(bench.rundir / "ctl"))
    try:
        assert bench.theirs(*target, "crash")[0] == 1
        assert wait_until(lambda: bench.theirs(*target, "version")[0] == 0)
        assert bench.pid("test-daemon") != first
    finally:
        bench.kill("test-daemon")
    log = (bench.rundir / "test-daemon.log").read_text()
    assert "|backtrace|EMER|ZeroDivisionError: integer division or modulo by zero\n" in log
    crash = f"|daemon_unix(monitor)|ERR|1 crashes: pid {first} died, killed (Aborted)"
    assert crash in log
    log_file = bench.rundir / "test-daemon.log"
    assert wait_until(lambda: "died, killed (Terminated), exiting\n" in log_file.read_text())


def test_monitor_logs_where_the_interpreter_crashed(bench: Bench) -> None:
    options = ("--detach", "--monitor", "--pidfile", "--log-file", "--unixctl=ctl")
    assert bench.daemon(*options, "-vconsole:off")[0] == 0
    first = bench.pid("test-daemon")
    try:
        os.kill(first, signal.SIGSEGV)
        assert wait_until(lambda: bench.theirs("-t", str(bench.rundir / "ctl"), "version")[0] == 0)
    finally:
        bench.kill("test-daemon")
    log = (bench.rundir / "test-daemon.log").read_text()
    trace = log.partition("|backtrace(monitor)|WARN|SIGSEGV detected, backtrace:\n")[2]
    assert "transport/loop.py" in trace.partition("|daemon_unix(monitor)|ERR|1 crashes")[0]


def test_rotated_log_is_followed_after_reopen(our_daemon: Bench) -> None:
    log, old = our_daemon.rundir / "test-daemon.log", our_daemon.rundir / "old.log"
    log.rename(old)
    assert our_daemon.theirs("-t", "test-daemon", "vlog/reopen") == (0, "", "")
    assert log.read_text().endswith(f"|vlog|INFO|opened log file {log}\n")


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the user")
def test_user_option_gives_up_root_and_keeps_what_binding_needs(bench: Bench) -> None:
    for folder in (bench.rundir, *bench.rundir.parents[:2]):
        folder.chmod(0o777)
    assert bench.daemon("--detach", "--pidfile", "--user=nobody", "-vconsole:off")[0] == 0
    try:
        status = Path(f"/proc/{bench.pid('test-daemon')}/status").read_text()
        uids = re.search(r"(?m)^Uid:\s+(.*)$", status)
        capabilities = re.search(r"(?m)^CapEff:\s+(\w+)$", status)
        assert uids is not None and capabilities is not None
        assert set(uids[1].split()) == {"65534"}
        assert int(capabilities[1], 16) == 1 << 10 | 1 << 14
    finally:
        bench.kill("test-daemon")


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the user")
def test_unknown_user_is_refused_as_theirs_refuses(bench: Bench) -> None:
    expected = bench.run("ovsdb-server", "--no-db", "--user=nosuch")[2]
    assert expected == "ovsdb-server: (null): user nosuch not found, aborting.\n"
    assert bench.daemon("--user=nosuch") == (
        1,
        "",
        "test-daemon: (null): user nosuch not found, aborting.\n",
    )
