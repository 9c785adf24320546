"""What the classic tools have in common: logging and TLS options, signals, fatal errors.

Nothing here imports what most runs do not need; `signal` alone (it pulls in `enum`) would take a
tenth of a tool's time, so the module behind it is used.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import sys

from netloom.base.environment import variable
from netloom.base.errors import CommandError
from netloom.base.getopt import NO, Option, time_limit
from netloom.base.log import CONSOLE, OFF, SYSLOG, WARN, get_logger, vlog
from netloom.base.paths import rundir
from netloom.transport.log_options import apply_log_environment
from netloom.transport.log_options import apply_log_option as _apply_log_option
from netloom.transport.signals import FatalSignals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

VERSION_OPTION = Option("version", NO, "V")


def set_up(program: str, console_level: int = WARN) -> FatalSignals:
    """Log levels, signals that end the program as the C tools end."""
    vlog.program = program
    vlog.set_level(console_level, None, CONSOLE)
    apply_log_environment(vlog)
    signals = FatalSignals()
    signals.install()
    return signals


def set_alarm(seconds: int) -> None:
    """End the program by SIGALRM after that time."""
    _signal.setitimer(_signal.ITIMER_REAL, seconds)


def default_timeout() -> int:
    """Seconds of `OVS_CTL_TIMEOUT`; 0 for no limit."""
    return time_limit(variable("OVS_CTL_TIMEOUT") or "") or 0


def parse_timeout(text: str) -> int:
    """The seconds of `-t`."""
    seconds = time_limit(text)
    if seconds is None:
        raise CommandError(f"value {text} on -t or --timeout is invalid")
    return seconds


def default_remote() -> str:
    return f"unix:{rundir()}/db.sock"


def apply_log_option(key: str, value: str | None) -> bool:
    """Apply one of LOG_OPTIONS; False if `key` is another option."""
    return _apply_log_option(vlog, key, value)


def fatal(program: str, message: str, module: str) -> int:
    """Report why the program fails, on standard error and in the log; its exit status."""
    if not message:
        # The reason is in the log already.
        return 1
    if module:
        vlog.set_level(OFF, module, CONSOLE)
        get_logger(module).err("%s", message)
    print_error(program, message)
    return 1


def print_error(program: str, message: str) -> None:
    sys.stderr.write(f"{program}: {message}\n")


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
