"""Becoming a daemon: `--detach`, `--pidfile`, `--monitor` and their kin.

    daemon = Daemon("ovs-vswitchd", vlog, signals)
    daemon.apply(option, value)        # for each option of DAEMON_OPTIONS
    daemon.start()                     # from here on, this is the daemon's process
    ... open sockets, read the configuration ...
    daemon.complete()                  # ready: the command that started us returns
    status = loop.run()
    daemon.close()

With `--detach` the process that was started waits until `complete()` and then exits with status 0,
so that a script may use the daemon in its next line. If the daemon ends before that, its exit
status becomes that of the started process. Errors of `start` are `DaemonError`s.

With `--monitor` one more process watches the daemon and starts it again if it dies of a signal that
means a bug, at most once in ten seconds. An exception that nobody caught is such a bug: `crash`
turns it into SIGABRT.

`start` forks: call it before threads, event loops or locks exist.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from netloom.base.errors import NetloomError
from netloom.base.log import CONSOLE, OFF, Vlog, get_logger
from netloom.base.paths import absolute, rundir

from .pidfile import make_pidfile, running_pid
from .signals import FatalSignals

#: Deaths that mean a programming error, after which a monitor starts the daemon again.
CRASHES = (
    signal.SIGABRT,
    signal.SIGALRM,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGPIPE,
    signal.SIGSEGV,
    signal.SIGXCPU,
    signal.SIGXFSZ,
)

RESTART_INTERVAL_S = 10

log = get_logger("daemon_unix")


class DaemonError(NetloomError):
    """The daemon cannot start; the text goes to the user and the exit status is 1."""


class Daemon:
    """The daemon options and what they do."""

    def __init__(
        self,
        program: str,
        vlog: Vlog,
        signals: FatalSignals,
        *,
        datapath: bool = False,
        keep_stderr: bool = False,
        keep_stdout: bool = False,
    ) -> None:
        """`datapath`: this daemon handles network devices, and keeps the right to if it changes
        its user. `keep_stderr`: the standard error is where its output goes, even detached;
        `keep_stdout`: the standard output is."""
        kept = {1: keep_stdout, 2: keep_stderr}
        self._closed_files = [fd for fd in range(3) if not kept.get(fd)]
        self._program = program
        self._datapath = datapath
        self._vlog = vlog
        self._signals = signals
        self._detach = False
        self._chdir = True
        self._monitor = False
        self._overwrite = False
        self._user: str | None = None
        self._ready_fd = -1
        self._pidfile_fd = -1
        self.pidfile: str | None = None
        self.detached = False
        self.monitored = False

    def apply(self, option: str, value: str | None) -> bool:
        """Take one option of `DAEMON_OPTIONS`; False if it is none of them."""
        match option:
            case "detach":
                self._detach = True
            case "no-chdir":
                self._chdir = False
            case "pidfile":
                self.pidfile = absolute(rundir(), value or f"{self._program}.pid")
            case "overwrite-pidfile":
                self._overwrite = True
            case "monitor":
                self._monitor = True
            case "no-self-confinement":
                # Paths are not confined here, so there is nothing to switch off.
                return True
            case "user":
                self._user = value
            case _:
                return False
        return True

    def start(self) -> None:
        """Check the pid file, fork as the options ask, write the pid file."""
        self._check_running()
        if self._user is not None:
            self._become_user(self._user)
        if self._detach:
            self._fork_and_wait()
            os.setsid()
            self.detached = True
        if self._monitor:
            self._start_monitor()
        self._signals.install()
        if self.pidfile is not None:
            try:
                self._pidfile_fd = make_pidfile(self.pidfile)
            except OSError as error:
                raise DaemonError(f"{self.pidfile}.tmp: create failed ({error.strerror})") from None
            self._signals.add_file(self.pidfile)

    def _check_running(self) -> None:
        if self.pidfile is None or self._overwrite:
            return
        try:
            pid = running_pid(self.pidfile)
        except OSError as error:
            raise DaemonError(
                f"{self.pidfile}: pidfile check failed ({error.strerror}), aborting"
            ) from None
        if pid:
            raise DaemonError(f"{self.pidfile}: already running as pid {pid}, aborting")

    def _become_user(self, user: str) -> None:
        from .privileges import UserError, become_user, parse_user

        try:
            account = parse_user(user)
            if self._vlog.file_name is not None:
                os.chown(self._vlog.file_name, account.uid, account.gid)
            become_user(account, datapath=self._datapath)
        except UserError as error:
            raise DaemonError(f"{self.pidfile or '(null)'}: {error}, aborting.") from None

    def complete(self) -> None:
        """The daemon is ready for use."""
        if self._detach:
            if self._chdir:
                os.chdir("/")
            self._close_standard_files()
        self._notify_ready()

    def close(self) -> None:
        """Remove what must not outlive the daemon."""
        self._signals.cleanup()

    def crash(self, error: BaseException) -> int:
        """Log an exception that nobody caught. Returns the exit status 1, unless a monitor is
        there, which is told by SIGABRT."""
        import traceback

        for line in "".join(traceback.format_exception(error)).rstrip().split("\n"):
            get_logger("backtrace").emer("%s", line)
        self._signals.cleanup()
        if self.monitored:
            signal.signal(signal.SIGABRT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGABRT)
        return 1

    # Forking.

    def _fork_and_wait(self) -> None:
        """Fork; the parent waits for the child to be ready and exits."""
        pid = self._fork_with_pipe()
        if pid:
            ready, status = self._wait_ready(pid)
            if not ready:
                self._report_early_death(status)
            self._exit(0)

    def _fork_with_pipe(self) -> int:
        read_fd, write_fd = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid:
            os.close(write_fd)
            self._read_fd = read_fd
        else:
            os.close(read_fd)
            self._ready_fd = write_fd
        return pid

    def _wait_ready(self, pid: int) -> tuple[bool, int]:
        """(whether the child became ready, its wait status if not)."""
        data = os.read(self._read_fd, 1)
        os.close(self._read_fd)
        if data:
            return True, 0
        return False, os.waitpid(pid, 0)[1]

    def _report_early_death(self, status: int) -> None:
        """End this process as the child did."""
        if os.WIFEXITED(status) and os.WEXITSTATUS(status):
            self._exit(os.WEXITSTATUS(status))
        sys.stderr.write(
            f"{self._program}: fork child died before signaling startup "
            f"({describe_status(status)})\n"
        )
        sys.stderr.flush()
        self._exit(1)

    def _exit(self, status: int) -> None:
        sys.stdout.flush()
        os._exit(status)

    def _notify_ready(self) -> None:
        if self._ready_fd >= 0:
            os.write(self._ready_fd, b"\0")
            os.close(self._ready_fd)
            self._ready_fd = -1

    def _close_standard_files(self) -> None:
        null = os.open(os.devnull, os.O_RDWR)
        for fd in self._closed_files:
            os.dup2(null, fd)
        if null > 2:
            os.close(null)
        self._vlog.set_level(OFF, None, CONSOLE)

    # Monitoring.

    def _start_monitor(self) -> None:
        """Fork; the parent becomes the monitor and only ever returns here as a new child."""
        outer_fd = self._ready_fd
        pid = self._fork_with_pipe()
        if pid == 0:
            self._become_daemon(outer_fd)
            return
        ready, status = self._wait_ready(pid)
        if not ready:
            self._report_early_death(status)
        self._ready_fd = outer_fd
        self._notify_ready()
        if self._detach:
            if self._chdir:
                os.chdir("/")
            self._close_standard_files()
        self._vlog.thread = "monitor"
        self._watch(pid)

    def _become_daemon(self, outer_fd: int) -> None:
        if outer_fd >= 0:
            os.close(outer_fd)
        self.monitored = True
        self._vlog.thread = ""

    def _watch(self, pid: int) -> None:
        """Wait for the daemon to die; start it again after a crash (returns in the new daemon)."""
        crashes = 0
        last_start_s = time.monotonic()
        while True:
            try:
                _, status = os.waitpid(pid, 0)
            except InterruptedError:
                continue
            text = describe_status(status)
            if not os.WIFSIGNALED(status) or os.WTERMSIG(status) not in CRASHES:
                log.info("pid %d died, %s, exiting", pid, text)
                self._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0)
            crashes += 1
            wait_s = last_start_s + RESTART_INTERVAL_S - time.monotonic()
            if crashes > 1 and wait_s > 0:
                log.warn(
                    "%d crashes: pid %d died, %s, waiting until %d seconds since last restart",
                    crashes,
                    pid,
                    text,
                    RESTART_INTERVAL_S,
                )
                time.sleep(wait_s)
            last_start_s = time.monotonic()
            log.err("%d crashes: pid %d died, %s, restarting", crashes, pid, text)
            pid = self._fork_with_pipe()
            if pid == 0:
                self._become_daemon(-1)
                self._vlog.thread = self._program
                return
            self._wait_ready_again(pid)

    def _wait_ready_again(self, pid: int) -> None:
        """Wait for a restarted daemon; if it ends instead, the next waitpid tells how."""
        if not os.read(self._read_fd, 1):
            log.err("could not initiate process monitoring of pid %d", pid)
        os.close(self._read_fd)


def describe_status(status: int) -> str:
    """A wait status for a person."""
    if os.WIFEXITED(status):
        return f"exit status {os.WEXITSTATUS(status)}"
    core = ", core dumped" if os.WCOREDUMP(status) else ""
    number = os.WTERMSIG(status)
    return f"killed ({signal.strsignal(number) or f'signal {number}'}){core}"
