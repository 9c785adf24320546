"""`dpctl/ipf-...`: fragments that wait for the rest of their packet (ovs-dpctl(8))."""

from __future__ import annotations

import errno
from collections.abc import Callable

from netloom.base.numbers import decimal
from netloom.datapath.conntrack import Conntrack
from netloom.datapath.dpctl_ct import CtCommand, Failure, Request

#: What may be set.
MIN_FRAGMENT = 400
MOST_FRAGMENTS = 5_000
_FAMILIES = {"v4": 4, "v6": 6}
_INDENT = " " * 8


def _family(request: Request, quote: str = "'") -> int:
    family = _FAMILIES.get(request.args.pop(0))
    if family is None:
        names = (f"{quote}{name}{quote} for IP{name}" for name in _FAMILIES)
        raise Failure(f"parameter missing: {' or '.join(names)}")
    return family


def _number(text: str, message: str) -> int:
    number = decimal(text)
    if number is None or number >> 32:
        raise Failure(message)
    return number


def _enable(enabled: bool) -> Callable[[Conntrack, Request, int], str]:
    def run(tracker: Conntrack, request: Request, now_ms: int) -> str:
        tracker.fragments.enabled[_family(request)] = enabled
        return f"{'enabling' if enabled else 'disabling'} fragmentation reassembly successful\n"

    return run


def _set_min(tracker: Conntrack, request: Request, now_ms: int) -> str:
    family = _family(request, quote="")
    size = _number(request.args[0], "parameter missing for minimum fragment size")
    if size < MIN_FRAGMENT:
        raise Failure(
            "requested minimum fragment size too small; see documentation", errno.EPERM
        )  # fmt: skip
    tracker.fragments.min_sizes[family] = size
    return "setting minimum fragment size successful\n"


def _set_max(tracker: Conntrack, request: Request, now_ms: int) -> str:
    number = _number(request.args[0], "parameter missing for maximum fragments")
    if number > MOST_FRAGMENTS:
        raise Failure("setting maximum fragments failed", errno.EPERM)
    tracker.fragments.max_fragments = number
    return "setting maximum fragments successful\n"


def _status(tracker: Conntrack, request: Request, now_ms: int) -> str:
    fragments = tracker.fragments
    lines = [
        "Fragmentation Module Status",
        "---------------------------",
        *(f"v{family} enabled: {fragments.enabled[family]:d}" for family in (4, 6)),
        f"max num frags (v4/v6): {fragments.max_fragments}",
        f"num frag: {fragments.n_held}",
    ]
    for family in (4, 6):
        lines.append(f"min v{family} frag size: {fragments.min_sizes[family]}")
        counts = fragments.counts[family]
        lines += [f"v{family} frags {name}: {count}" for name, count in counts.items()]
    text = "".join([f"{_INDENT}{line}\n" for line in lines])
    if "--more" in request.options:
        waiting = "".join([f"{line}\n" for line in fragments.lists()])
        text += f"\n{_INDENT}Fragment Lists:\n\n{waiting}"
    return text


def _exactly(number: int) -> Callable[[list[str]], int]:
    return lambda args: number


COMMANDS = (
    CtCommand("ipf-set-enabled", "[dp] v4|v6", 1, 2, _exactly(1), _enable(True)),
    CtCommand("ipf-set-disabled", "[dp] v4|v6", 1, 2, _exactly(1), _enable(False)),
    CtCommand("ipf-set-min-frag", "[dp] v4|v6 minfragment", 2, 3, _exactly(2), _set_min),
    CtCommand("ipf-set-max-nfrags", "[dp] maxfrags", 1, 2, _exactly(1), _set_max),
    CtCommand("ipf-get-status", "[dp]", 0, 1, _exactly(0), _status),
)
