"""Label stacks in keys (RFC 3032), and making the packet's like the key's.

A key holds three entries, outermost first; the entry with the bit `BOS` is the last.
"""

from __future__ import annotations

from netloom.datapath import actions as dp
from netloom.flow.fields import SLOT
from netloom.flow.key import MAX_MPLS_LABELS
from netloom.ofproto.translate.context import Context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

MPLS_TYPES: Final = frozenset({0x8847, 0x8848})
BOS: Final = 0x100
LSES: Final = tuple(SLOT[f"mpls_lse{number}"] for number in range(MAX_MPLS_LABELS))
LABELS_MASK: Final = sum(slot.mask for slot in LSES)
_DL_TYPE: Final = SLOT["dl_type"]
_MPLS: Final = 0x8847


def labels_of(key: int) -> list[int]:
    """The label stack entries of a key, outermost first."""
    if _DL_TYPE.get(key) not in MPLS_TYPES:
        return []
    found: list[int] = []
    for slot in LSES:
        entry = slot.get(key)
        if entry or found:
            found.append(entry)
        if entry & BOS:
            return found
    return [entry for entry in found if entry]


def with_labels(key: int, entries: list[int]) -> int:
    key &= ~LABELS_MASK
    for slot, entry in zip(LSES, entries, strict=False):
        key |= entry << slot.shift
    return key


def commit_labels(context: Context, only_last: bool, is_encap: bool = False) -> None:
    """Emit what gives `base` the labels of `key`; `only_last`: if it is to have none any more,
    for then what is below can be written. `is_encap`: new labels go in front of the whole
    packet."""
    new_type = _DL_TYPE.get(context.key)
    if only_last and new_type in MPLS_TYPES:
        return
    old, new = labels_of(context.base), labels_of(context.key)
    common = 0
    for mine, theirs in zip(reversed(old), reversed(new), strict=False):
        if mine != theirs:
            break
        common += 1
    while len(old) > common:
        if len(old) - 1 == common and len(new) > common:
            # One entry differs: it is written over, not popped and pushed.
            old[0] = new[len(new) - len(old)]
            mask = context.mask & LSES[0].mask
            context.emit(dp.Set(dp.KNOWN_LABEL, old[0] << LSES[0].shift, mask))
            common += 1
        else:
            below = _MPLS if new_type not in MPLS_TYPES and len(old) > 1 else new_type
            context.emit(dp.PopMpls(below))
            old.pop(0)
    for number in range(len(new) - common - 1, -1, -1):
        push = dp.AddMpls if is_encap else dp.PushMpls
        if is_encap and not context.bridge.backer.features.has("add_mpls"):
            context.slow.add("action")
        context.emit(push(new_type, new[number]))
    context.base = _DL_TYPE.put(with_labels(context.base, new), new_type)
