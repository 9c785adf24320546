"""The logging options of every program, and the ways to send to syslog.

`--syslog-method` is `libc`, `null`, `unix:FILE` or `udp:HOST:PORT`; its default is the variable
OVS_SYSLOG_METHOD, else libc. Messages to syslog are never waited for and never fail the program.
"""

from __future__ import annotations

from netloom.base.environment import variable
from netloom.base.errors import CommandError, NetloomError
from netloom.base.getopt import OPTIONAL, REQUIRED, Option
from netloom.base.log import get_logger
from netloom.base.paths import logdir

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.base.log import SyslogSink, Vlog

LOG_OPTIONS = (
    Option("verbose", OPTIONAL, "v"),
    Option("log-file", OPTIONAL),
    Option("syslog-method", REQUIRED),
    Option("syslog-target", REQUIRED),
)

log = get_logger("socket_util")


class LogOptionError(NetloomError):
    """A logging option that ends the program with status 1; the text is empty if it is in the log
    already."""


def apply_log_option(vlog: Vlog, option: str, value: str | None) -> bool:
    """Do what one option of `LOG_OPTIONS` says; False if it is none of them."""
    match option:
        case "verbose":
            from netloom.base.log_modules import modules_of

            vlog.declare(modules_of(vlog.program))
            try:
                vlog.apply(value or "dbg")
            except CommandError as error:
                raise LogOptionError(f'processing "{value}": {error}') from None
        case "log-file":
            try:
                vlog.open_file(f"{logdir()}/{vlog.program}.log" if value is None else value)
            except OSError:
                raise LogOptionError("") from None
        case "syslog-method":
            set_syslog_method(vlog, value or "")
        case "syslog-target":
            sink = _udp_sink(value or "")
            if sink is None:
                log.err("%s: port must be specified", value or "")
            else:
                vlog.set_syslog_target(sink)
        case _:
            return False
    return True


def apply_log_environment(vlog: Vlog) -> None:
    """What the environment says about logging. A method that there is not matters once there is
    something to log."""
    method = variable("OVS_SYSLOG_METHOD")
    if not method:
        return
    try:
        set_syslog_method(vlog, method)
    except LogOptionError as error:
        text = str(error)

        def refuse(priority: int, message: str) -> None:
            raise LogOptionError(text)

        vlog.set_syslog(refuse, "")


def set_syslog_method(vlog: Vlog, method: str) -> None:
    """Send syslog messages by `method`; LogOptionError if there is no such method."""
    kind, _, rest = method.partition(":")
    if method == "libc":
        return
    if method == "null":
        vlog.set_syslog(lambda priority, text: None, "")
    elif kind == "unix" and ":" in method:
        vlog.set_syslog(_unix_sink(rest), "<%B>")
    elif kind == "udp" and ":" in method:
        vlog.set_syslog(_udp_sink(rest) or (lambda priority, text: None), "<%B>")
    else:
        raise LogOptionError(f"unsupported syslog method '{method}'")


def _unix_sink(path: str) -> SyslogSink:
    import _socket

    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    sock.setblocking(False)

    def send(priority: int, text: str) -> None:
        try:
            sock.sendto(f"<{priority}>{text}".encode("utf-8", "replace"), path)
        except OSError:
            # There is nowhere else to complain: this is the log.
            return

    return send


def _udp_sink(target: str) -> SyslogSink | None:
    """Sends to `HOST:PORT`, or None if that is no address."""
    import _socket

    from netloom.base.numbers import decimal

    host, colon, port = target.rpartition(":")
    if not colon or decimal(port) is None:
        return None
    host = host.strip("[]")
    family = _socket.AF_INET6 if ":" in host else _socket.AF_INET
    sock = _socket.socket(family, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    sock.setblocking(False)

    def send(priority: int, text: str) -> None:
        try:
            sock.sendto(f"<{priority}>{text}".encode("utf-8", "replace"), (host, int(port)))
        except OSError:
            # There is nowhere else to complain: this is the log.
            return

    return send
