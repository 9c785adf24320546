"""`dpctl/...` for connection tracking: what is tracked, its limits and settings.

Handlers return text or raise CommandError with the words of ovs-dpctl(8). The tracker is that of
one data path; `dpctl` finds it.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from typing import NamedTuple, Protocol

from netloom.base.numbers import decimal
from netloom.datapath.conntrack import Conntrack

_BUCKETS_PER_LINE = 8
_U32 = 0xFFFFFFFF
_DECIMAL = re.compile(r"\s*[+-]?[0-9]+", re.ASCII)
_OCTAL = re.compile(r"[+-]?0[0-7]+", re.ASCII)
_HEAD = (
    "+-----------+-----------------------------------------+\n"
    "|  Buckets  |         Connections per Buckets         |\n"
    "+-----------+-----------------------------------------+"
)


class Failure(Exception):
    """The text of what is wrong, and its errno (0 for none)."""

    def __init__(self, message: str, code: int = errno.EINVAL) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class Request(Protocol):
    """A command's arguments behind the data path's name, and its options."""

    args: list[str]
    options: set[str]


class CtCommand(NamedTuple):
    """One command. `own_args` says how many of so many arguments are its own; one before them
    names the data path."""

    name: str
    usage: str
    min_args: int
    max_args: int
    own_args: Callable[[list[str]], int]
    run: Callable[[Conntrack, Request, int], str]


def _words(*names: str) -> Callable[[list[str]], int]:
    """The last argument is the command's if it begins with one of `names`."""
    return lambda args: int(bool(args) and args[-1].startswith(names))


def _exactly(number: int) -> Callable[[list[str]], int]:
    return lambda args: number


def _all_but_name(args: list[str]) -> int:
    """All arguments, but for a first one without `=` (or empty)."""
    return len(args) - bool(args and args[0] and "=" not in args[0] and "@" in args[0])


def _zones_behind_name(args: list[str]) -> int:
    """Of two arguments the first is the data path's name."""
    return 1 if len(args) > 1 else _all_but_name(args)


def _zone(text: str, message: str) -> int:
    zone = decimal(text)
    if zone is None or zone > 0xFFFF:
        raise Failure(message)
    return zone


#: What is not read as an argument of a command that only shows is taken for a data path.
_NO_DATAPATH = "datapath not found"


def _pop_zone(request: Request, failure: str = _NO_DATAPATH) -> int | None:
    if request.args and request.args[0].startswith("zone="):
        return _zone(request.args.pop(0)[5:], failure)
    return None


def _dump(tracker: Conntrack, request: Request, now_ms: int) -> str:
    zone = _pop_zone(request)
    verbose, times = "--more" in request.options, "--statistics" in request.options
    return "".join([f"{line}\n" for line in tracker.dump(now_ms, zone, verbose, times)])


def _flush(tracker: Conntrack, request: Request, now_ms: int) -> str:
    zone = _pop_zone(request, "failed to parse zone")
    if not any(request.args):
        tracker.flush_zone(zone)
        return ""
    original, reply = (*request.args, "")[:2]
    try:
        is_found = tracker.flush_tuples(zone, original, reply)
    except ValueError as error:
        raise Failure(str(error)) from error
    if not is_found:
        raise Failure("failed to flush conntrack", errno.ENOENT)
    return ""


def _stats(tracker: Conntrack, request: Request, now_ms: int) -> str:
    return tracker.describe(now_ms, _pop_zone(request), "--more" in request.options)


def _buckets(tracker: Conntrack, request: Request, now_ms: int) -> str:
    """There is one bucket: the table does not divide connections by hash."""
    threshold = 0
    if request.args:
        number = decimal(request.args[0][3:])
        if number is None:
            raise Failure(_NO_DATAPATH)
        threshold = number
    count = len(tracker)
    lines = ["Total Buckets: 1", f"Current Connections: {count}", ""]
    if count:
        shown = str(count) if count > threshold else "."
        lines += [_HEAD, f"   0..  {_BUCKETS_PER_LINE - 1}   | {shown:>5}", ""]
    return "\n".join(lines) + "\n"


def _set_maxconns(tracker: Conntrack, request: Request, now_ms: int) -> str:
    number = decimal(request.args[0])
    if number is None or number >> 32:
        raise Failure("maxconns missing or malformed")
    tracker.max_connections = number
    return "setting maxconns successful\n"


def _sequence(enabled: bool) -> Callable[[Conntrack, Request, int], str]:
    def run(tracker: Conntrack, request: Request, now_ms: int) -> str:
        tracker.checks_tcp_sequence = enabled
        return f"{'enabling' if enabled else 'disabling'} TCP sequence checking successful\n"

    return run


def _get_sequence(tracker: Conntrack, request: Request, now_ms: int) -> str:
    word = "enabled" if tracker.checks_tcp_sequence else "disabled"
    return f"TCP sequence checking: {word}\n"


def _set_sweep(tracker: Conntrack, request: Request, now_ms: int) -> str:
    interval_ms = decimal(request.args[0])
    if interval_ms is None or interval_ms >> 32:
        raise Failure("invalid sweep value")
    tracker.sweep_interval_ms = interval_ms
    return "setting sweep interval successful\n"


def _set_limits(tracker: Conntrack, request: Request, now_ms: int) -> str:
    _check_protection(tracker, "set")
    words, default = list(request.args), None
    if words and words[0].startswith("default="):
        default = _scan(words.pop(0)[8:])
        if default is None:
            raise Failure("invalid default limit")
        default &= _U32
    zones = [_parse_zone_limit(word) for word in words]
    if default is not None:
        tracker.limits.default = default
    for zone, limit in zones:
        tracker.limits.set(zone, limit)
    return ""


def _check_protection(tracker: Conntrack, verb: str) -> None:
    """Limits of the database may not be changed by hand."""
    if tracker.limits.is_protected:
        raise Failure(
            "the zone limits are set via database, use "
            f"'ovs-vsctl {verb}-zone-limit <...>' instead.",
            errno.EPERM,
        )


def _scan(text: str) -> int | None:
    """The decimal number that a text begins with; None if it begins with none."""
    found = _DECIMAL.match(text)
    return None if found is None else int(found[0])


def _number(text: str, message: str) -> int:
    """A number of any base, as C reads it."""
    try:
        return int(text, 8) if _OCTAL.fullmatch(text) else int(text, 0)
    except ValueError:
        raise Failure(message) from None


def _parse_zone_limit(text: str) -> tuple[int, int]:
    zone = limit = None
    for word in text.split(","):
        name, _, value = word.partition("=")
        if not value:
            raise Failure(f"field {name} missing value")
        if name == "zone":
            zone = _number(value, "failed to parse field zone")
            if not 0 <= zone <= 0xFFFF:
                raise Failure("failed to parse field zone")
        elif name == "limit":
            limit = _number(value, "failed to parse field limit") & _U32
        else:
            raise Failure(f"invalid zone limit field: {name}")
    if zone is None or limit is None:
        raise Failure("failed to parse zone limit")
    return zone, limit


def _zones(text: str) -> list[int]:
    zones = []
    for word in filter(None, text.split(",")):
        zone = _scan(word)
        if zone is None or not 0 <= zone <= 0xFFFF:
            raise Failure("invalid zone")
        zones.append(zone)
    return zones


def _del_limits(tracker: Conntrack, request: Request, now_ms: int) -> str:
    _check_protection(tracker, "del")
    text = request.args[0]
    if text == "default":
        tracker.limits.default = 0
        return ""
    if not text.startswith("zone="):
        raise Failure(f"invalid argument {text}")
    for zone in _zones(text[5:]):
        tracker.limits.delete(zone)
    return ""


def _get_limits(tracker: Conntrack, request: Request, now_ms: int) -> str:
    limits = tracker.limits
    zones = limits.zones()
    if request.args:
        if not request.args[0].startswith("zone="):
            raise Failure(f"invalid argument {request.args[0]}")
        zones = _zones(request.args[0][5:])
    lines = [f"default limit={limits.default}"]
    lines += [f"zone={z},limit={limits.limit(z)},count={limits.count(z)}" for z in zones]
    return "\n".join(lines) + "\n"


COMMANDS = (
    CtCommand("dump-conntrack", "[-m] [-s] [dp] [zone=N]", 0, 4, _words("zone="), _dump),
    CtCommand(
        "flush-conntrack",
        "[dp] [zone=N] [ct-orig-tuple] [ct-reply-tuple]",
        0,
        4,
        _all_but_name,
        _flush,
    ),
    CtCommand("ct-stats-show", "[dp] [zone=N]", 0, 3, _words("zone="), _stats),
    CtCommand("ct-bkts", "[dp] [gt=N]", 0, 2, _words("gt="), _buckets),
    CtCommand("ct-set-maxconns", "[dp] maxconns", 1, 2, _exactly(1), _set_maxconns),
    CtCommand("ct-get-maxconns", "[dp]", 0, 1, _exactly(0), lambda t, *_: f"{t.max_connections}\n"),
    CtCommand("ct-get-nconns", "[dp]", 0, 1, _exactly(0), lambda t, *_: f"{len(t)}\n"),
    CtCommand("ct-enable-tcp-seq-chk", "[dp]", 0, 1, _exactly(0), _sequence(True)),
    CtCommand("ct-disable-tcp-seq-chk", "[dp]", 0, 1, _exactly(0), _sequence(False)),
    CtCommand("ct-get-tcp-seq-chk", "[dp]", 0, 1, _exactly(0), _get_sequence),
    CtCommand("ct-set-sweep-interval", "[dp] ms", 1, 2, _exactly(1), _set_sweep),
    CtCommand(
        "ct-get-sweep-interval", "[dp]", 0, 1, _exactly(0), lambda t, *_: f"{t.sweep_interval_ms}\n"
    ),
    CtCommand(
        "ct-set-limits",
        "[dp] [default=L] [zone=N,limit=L]...",
        1,
        0xFFFF,
        _all_but_name,
        _set_limits,
    ),
    CtCommand("ct-del-limits", "[dp] zone=N1[,N2]...", 1, 2, _exactly(1), _del_limits),
    CtCommand("ct-get-limits", "[dp] [zone=N1[,N2]...]", 0, 2, _zones_behind_name, _get_limits),
)


def describe(failure: Failure) -> str:
    """`failed to parse zone (Invalid argument)`"""
    reason = f" ({os.strerror(failure.code)})" if failure.code else ""
    return f"{failure.message}{reason}"
