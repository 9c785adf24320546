"""What the classic tools have in common: logging and TLS options, signals, fatal errors.

Nothing here imports what most runs do not need; `signal` alone (it pulls in `enum`) would take a
tenth of a tool's time, so the module behind it is used.
"""

from __future__ import annotations

import os
import sys

import _signal  # type: ignore[import-not-found,unused-ignore]
from netloom import OVS_VERSION
from netloom.base.clock import SystemClock
from netloom.base.errors import CommandError
from netloom.base.getopt import NO, OPTIONAL, REQUIRED, Option
from netloom.base.log import CONSOLE, DBG, OFF, SYSLOG, WARN, get_logger, vlog
from netloom.base.paths import logdir, rundir

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from netloom.transport.tls import TlsSettings

#: Names that `-v MODULE:...` knows before their modules are imported.
_MODULES = (
    "db_ctl_base", "fatal_signal", "jsonrpc", "ovsdb_client", "ovsdb_cs", "ovsdb_idl", "poll_loop",
    "reconnect", "socket_util", "stream", "stream_fd", "stream_ssl", "stream_tcp", "stream_unix",
    "timeval", "util", "vlog", "vsctl",
)  # fmt: skip

VERSION_OPTION = Option("version", NO, "V")
LOG_OPTIONS = (
    Option("verbose", OPTIONAL, "v"),
    Option("log-file", OPTIONAL),
    Option("syslog-method", REQUIRED),
    Option("syslog-target", REQUIRED),
)
TLS_OPTIONS = (
    Option("private-key", REQUIRED, "p"),
    Option("certificate", REQUIRED, "c"),
    Option("ca-cert", REQUIRED, "C"),
    Option("ssl-protocols", REQUIRED),
    Option("ssl-ciphers", REQUIRED),
    Option("ssl-ciphersuites", REQUIRED),
    Option("ssl-server-name", REQUIRED),
    Option("bootstrap-ca-cert", REQUIRED),
    Option("peer-ca-cert", REQUIRED),
)

_SIGNAL_NAMES = {
    _signal.SIGHUP: "Hangup",
    _signal.SIGINT: "Interrupt",
    _signal.SIGALRM: "Alarm clock",
    _signal.SIGTERM: "Terminated",
}


def set_up(program: str) -> None:
    """Quiet console, known log modules, signals that end the program as the C tools end."""
    vlog.program = program
    vlog.declare(_MODULES)
    vlog.set_level(WARN, None, CONSOLE)
    vlog.set_level(WARN, "reconnect")
    for number in _SIGNAL_NAMES:
        if _signal.getsignal(number) != _signal.SIG_IGN:
            _signal.signal(number, _die)


def _die(number: int, _frame: object) -> None:
    get_logger("fatal_signal").warn(
        "terminating with signal %d (%s)", number, _SIGNAL_NAMES.get(number, "unknown")
    )
    _signal.signal(number, _signal.SIG_DFL)
    os.kill(os.getpid(), number)


def set_alarm(seconds: int) -> None:
    """End the program by SIGALRM after that time."""
    _signal.setitimer(_signal.ITIMER_REAL, seconds)


def default_timeout() -> int:
    """Seconds of `OVS_CTL_TIMEOUT`; 0 for no limit."""
    text = os.environ.get("OVS_CTL_TIMEOUT", "")
    return int(text) if text.isascii() and text.isdigit() else 0


def parse_timeout(text: str) -> int:
    """The value of `-t`: a positive number of seconds."""
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise CommandError(f"value {text} on -t or --timeout is invalid")
    return int(text)


def default_remote() -> str:
    return f"unix:{rundir()}/db.sock"


def apply_log_option(program: str, key: str, value: str | None) -> bool:
    """Apply one of LOG_OPTIONS; False if `key` is another option."""
    if key == "verbose":
        if value is None:
            vlog.set_level(DBG)
            return True
        try:
            vlog.apply(value)
        except CommandError as error:
            raise CommandError(f'processing "{value}": {error}') from None
    elif key == "log-file":
        try:
            vlog.open_file(value or f"{logdir()}/{program}.log")
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}") from None
    elif key in ("syslog-method", "syslog-target"):
        _apply_syslog_option(key, value or "")
    else:
        return False
    return True


def _apply_syslog_option(key: str, value: str) -> None:
    from netloom.programs.syslog_sinks import method_sink, udp_sink

    if key == "syslog-target":
        vlog.set_syslog_target(udp_sink(value))
    else:
        sink, prefix = method_sink(value)
        vlog.set_syslog(sink, prefix)


class TlsOptions:
    """Collects the TLS options; the settings object is made when a TLS stream is."""

    def __init__(self) -> None:
        self._given: list[tuple[str, str]] = []

    def apply(self, key: str, value: str | None) -> bool:
        """Take one of TLS_OPTIONS; False if `key` is another option."""
        if all(option.key != key for option in TLS_OPTIONS):
            return False
        self._given.append((key, value or ""))
        return True

    def settings(self) -> TlsSettings:
        from netloom.transport.tls import TlsSettings

        made = TlsSettings()
        for key, value in self._given:
            made.apply(key, value)
        return made


def fatal(program: str, message: str, module: str) -> int:
    """Report why the program fails, on standard error and in the log; its exit status."""
    if module:
        vlog.set_level(OFF, module, CONSOLE)
        get_logger(module).err("%s", message)
    print_error(program, message)
    return 1


def print_error(program: str, message: str) -> None:
    sys.stderr.write(f"{program}: {message}\n")


def version_text(program: str) -> str:
    return f"{program} (Open vSwitch) {OVS_VERSION}\n"


def quiet_syslog(module: str) -> None:
    """Keep all but warnings of `module` from the system log."""
    vlog.set_level(WARN, module, SYSLOG)


def list_options(options: Sequence[Option]) -> str:
    """The answer to `--options`."""
    lines = []
    for option in options:
        with_argument = option.argument != NO
        if option.name:
            lines.append(f"--{option.name}{'=ARG' if with_argument else ''}\n")
        if option.short:
            lines.append(f"-{option.short}{' ARG' if with_argument else ''}\n")
    return "".join(lines)


def now_ms() -> int:
    return SystemClock().now_ms()
