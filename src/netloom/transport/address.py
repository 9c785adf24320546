"""The names of streams: `unix:FILE`, `tcp:HOST[:PORT]`, `ssl:HOST[:PORT]` and their passive forms.

    active    unix:FILE                 tcp:HOST[:PORT]     ssl:HOST[:PORT]
    passive   punix:FILE                ptcp:[PORT][:HOST]  pssl:[PORT][:HOST]

HOST is a numeric IPv4 address, or an IPv6 address in square brackets; a host name is allowed in an
active address. A FILE that does not begin with `/` is in the run directory. A passive PORT of 0
lets the kernel choose. What is left out is the caller's default: 6640 for OVSDB, 6653 for OpenFlow.

A bad address is the system error that Open vSwitch makes of it (EAFNOSUPPORT), after the reason
was logged; so a daemon retries and reports it like any other failure to connect.
"""

from __future__ import annotations

import errno
import posix

from netloom.base.log import get_logger
from netloom.base.paths import absolute, rundir

OVSDB_PORT = 6640
OPENFLOW_PORT = 6653

log = get_logger("socket_util")

_KINDS = {
    "unix": ("unix", False),
    "punix": ("unix", True),
    "tcp": ("tcp", False),
    "ptcp": ("tcp", True),
    "ssl": ("ssl", False),
    "pssl": ("ssl", True),
}


class Address:
    """A parsed stream name. `host` is empty for any address (passive only); `text` is the name as
    it was given."""

    __slots__ = ("host", "kind", "passive", "path", "port", "text")

    def __init__(
        self, text: str, kind: str, passive: bool, *, path: str = "", host: str = "", port: int = 0
    ) -> None:
        self.text = text
        self.kind = kind
        self.passive = passive
        self.path = path
        self.host = host
        self.port = port

    def __repr__(self) -> str:
        return f"Address({self.text!r})"

    def __str__(self) -> str:
        return self.text


def _unsupported() -> OSError:
    return OSError(errno.EAFNOSUPPORT, posix.strerror(errno.EAFNOSUPPORT))


def is_passive(text: str) -> bool:
    """Whether `text` names a place to listen."""
    return text.partition(":")[0] in ("punix", "ptcp", "pssl")


def is_address(text: str) -> bool:
    """Whether `text` begins like a stream name at all."""
    kind, colon, _ = text.partition(":")
    return bool(colon) and kind in _KINDS


def _split_fields(text: str) -> list[str]:
    """The colon-separated fields of `text`; brackets protect colons and are taken off."""
    fields = [""]
    depth = 0
    for char in text:
        if char == "[":
            depth += 1
        elif char == "]":
            depth -= 1
        elif char == ":" and not depth:
            fields.append("")
        else:
            fields[-1] += char
    return fields


def _parse_port(text: str, whole: str, allow_zero: bool) -> int:
    port = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else -1
    if not (0 if allow_zero else 1) <= port <= 65535:
        log.err('%s: bad port number "%s"', whole, text)
        raise _unsupported()
    return port


def parse_target(text: str, default_port: int) -> tuple[str, int]:
    """Host and port of `HOST[:PORT]`, which names no kind of stream; a `default_port` of 0 means
    that there is none."""
    host, *ports = _split_fields(text)
    port = next(iter(ports), "")
    if len(ports) > 1 or not (port or default_port):
        log.err("%s: port must be specified", text)
        raise _unsupported()
    if not host:
        raise _unsupported()
    return host, _parse_port(port, text, False) if port else default_port


def parse_address(text: str, default_port: int = OVSDB_PORT) -> Address:
    """The address that `text` names; OSError(EAFNOSUPPORT) if it names none."""
    kind, colon, rest = text.partition(":")
    if not colon or kind not in _KINDS:
        raise _unsupported()
    family, passive = _KINDS[kind]
    if family == "unix":
        return Address(text, family, passive, path=absolute(rundir(), rest))
    fields = _split_fields(rest)
    if len(fields) > 2:
        log.err("%s: port must be specified", rest)
        raise _unsupported()
    first, second = fields[0], fields[1] if len(fields) > 1 else ""
    if passive:
        port = _parse_port(first, rest, True) if first else default_port
        return Address(text, family, passive, host=second, port=port)
    if not first:
        raise _unsupported()
    port = _parse_port(second, rest, False) if second else default_port
    return Address(text, family, passive, host=first, port=port)
