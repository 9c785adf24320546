"""Where syslog messages go for `--syslog-method` and `--syslog-target`."""

from __future__ import annotations

import socket
import syslog

from netloom.base.errors import CommandError
from netloom.base.log import LIBC_PREFIX, SyslogSink
from netloom.transport.address import parse_address

#: What the other methods put before a message: the priority, and then RFC 5424's header.
RFC5424_PREFIX = "<%B>1 %D{%Y-%m-%dT%H:%M:%S.###Z} %E %A %P %c - "
SYSLOG_PORT = 514


def _null(priority: int, text: str) -> None:
    """Discards the message."""


def _socket_sink(family: socket.AddressFamily, target: str | tuple[str, int]) -> SyslogSink:
    sock = socket.socket(family, socket.SOCK_DGRAM)

    def send(priority: int, text: str) -> None:
        try:
            sock.sendto(f"<{priority}>{text}".encode(), target)
        except OSError:
            # A log that cannot be written must not stop the program that writes it.
            return

    return send


def udp_sink(text: str) -> SyslogSink:
    """A sink for `HOST:PORT`."""
    try:
        address = parse_address("tcp:" + text, SYSLOG_PORT)
    except OSError as error:
        raise CommandError(f"{text}: {error.strerror}") from None
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    return _socket_sink(family, (address.host, address.port))


def method_sink(text: str) -> tuple[SyslogSink, str]:
    """The sink and its prefix for the forms `libc`, `null`, `unix:FILE`, `udp:IP:PORT`."""
    kind, _, rest = text.partition(":")
    if text == "libc":
        return syslog.syslog, LIBC_PREFIX
    if text == "null":
        return _null, ""
    if kind == "unix" and rest:
        return _socket_sink(socket.AF_UNIX, rest), RFC5424_PREFIX
    if kind == "udp" and rest:
        return udp_sink(rest), RFC5424_PREFIX
    raise CommandError(f'unsupported syslog method "{text}"')
