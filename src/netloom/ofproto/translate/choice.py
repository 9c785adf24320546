"""Choosing one of many: `multipath`, `bundle`, `bundle_load`, and the bucket of a select group.

All by a hash of the packet (`flow.hashes`), whose bits are then part of the flow's mask. The names
of the algorithms are those of ovs-actions(7).
"""

from __future__ import annotations

from collections.abc import Callable

from netloom.flow import hashes
from netloom.flow.value_text import format_field_value
from netloom.ofproto.translate.context import Context
from netloom.ofproto.translate.output import is_alive, output
from netloom.ofproto.translate.written import completed
from netloom.openflow import actions as a
from netloom.openflow.subfield_text import format_subfield

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_ONES: Final = 0xFFFFFFFF
#: Above this many links highest random weight costs too much.
_MAX_HRW_LINKS: Final = 64
_NO_PORT: Final = 0xFFFF


def _modulo_n(value: int, n_links: int, arg: int) -> int:
    return value % n_links


def _hash_threshold(value: int, n_links: int, arg: int) -> int:
    return 0 if n_links == 1 else value // (_ONES // n_links + 1)


def _hrw(value: int, n_links: int, arg: int) -> int:
    if n_links > _MAX_HRW_LINKS:
        return _iter_hash(value, n_links, 0)
    weights = [hashes.hash_pair(value, link) for link in range(n_links)]
    return weights.index(max(weights))


def _iter_hash(value: int, n_links: int, arg: int) -> int:
    modulus = _next_power(n_links) if arg < n_links or arg // 2 > n_links else arg
    step = 0
    while True:
        link = hashes.hash_pair(value, step) % modulus
        step += 1
        if link < n_links:
            return link


def _next_power(number: int) -> int:
    return 1 << (number - 1).bit_length()


#: By number (`openflow.action_choice.MULTIPATH_ALGORITHMS`).
_ALGORITHMS: tuple[Callable[[int, int, int], int], ...] = (
    _modulo_n, _hash_threshold, _hrw, _iter_hash,
)  # fmt: skip


def _hash(context: Context, fields: int, basis: int) -> int:
    context.mask |= hashes.hashed_bits(context.key, fields)
    return hashes.FIELD_HASHES[fields](context.key, basis)


def _load(context: Context, part: a.Subfield, value: int) -> None:
    """Write a number to a part of a field, as far as it fits."""
    shift = part.field.shift + part.offset
    bits = ((1 << part.n_bits) - 1) << shift & part.field.mask
    context.mask |= bits
    context.key = completed(context.key & ~bits | value << shift & bits, part.field)
    if context.recorder is not None:
        value = (context.key & bits) >> shift
        whole = part.n_bits == part.field.width
        text = format_field_value(part.field, value, part.field.ones) if whole else _hex(value)
        context.detail(f"{format_subfield(part)} is now {text}")


def _hex(value: int) -> str:
    return f"{value:#x}" if value else "0"


def multipath(context: Context, action: a.Multipath) -> None:
    value = _hash(context, action.fields, action.basis)
    link = _ALGORITHMS[action.algorithm](value, action.n_links, action.arg)
    _load(context, action.destination, link)


def bundle(context: Context, action: a.Bundle) -> None:
    """`bundle` and `bundle_load`: a member port that is alive."""
    members = action.members
    if action.algorithm == 0:
        port = next((port for port in members if is_alive(context, port)), None)
    else:
        # One member is chosen by no hash.
        looked_at = context.mask
        value = _hash(context, action.fields, action.basis)
        if len(members) < 2:
            context.mask = looked_at
        port, best = None, -1
        for number, member in enumerate(members):
            weight = hashes.hash_pair(number, value)
            if is_alive(context, member) and weight > best:
                port, best = member, weight
    if action.destination is not None:
        _load(context, action.destination, _NO_PORT if port is None else port & 0xFFFF)
    elif port is not None:
        output(context, port, 0)
