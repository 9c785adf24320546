"""The key as the kernel programs hold it: some 64-bit words of the key of `flow.fields`.

The key of the field table is a struct of `KEY_BYTES` bytes, every member in network byte order and
none across a boundary of eight bytes. The kernel leaves out the words that no packet and no flow of
a data path ever fills (registers, OpenFlow's metadata). What it keeps it keeps in the same order,
so taking a key apart or together is copying a few ranges
of bytes, and a mask is the same words of the mask.

The first `OPTION_WORDS` words are the options of tunnels: few packets have any, so even the
programs' slower ways pass over them.

The last `HOT_WORDS` words hold all that is read from common packets (Ethernet, tags, IPv4,
transport) and the small metadata. The others stay zero for most packets, and the programs touch
them only for packets that fill them.
"""

from __future__ import annotations

from itertools import groupby
from struct import Struct

from netloom.flow.fields import KEY_BYTES, SLOTS, Slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

WORD_BYTES: Final = 8
#: Slots that exist in translation only.
_LEFT_OUT: Final = ("metadata", "actset_output", "conj_id")


def _is_kept(slot: Slot) -> bool:
    return slot.name not in _LEFT_OUT and not slot.name.startswith("reg")


def offset_of(slot: Slot) -> int:
    """Byte of the whole key at which `slot` starts."""
    return KEY_BYTES - slot.shift // 8 - slot.n_bytes


def _kept_words() -> tuple[int, ...]:
    words = set()
    for slot in SLOTS:
        if _is_kept(slot):
            first = offset_of(slot)
            words |= set(range(first // WORD_BYTES, (first + slot.n_bytes - 1) // WORD_BYTES + 1))
    return tuple(sorted(words))


#: Numbers of the words of the whole key that the kernel keeps, in their order.
WORDS: Final = _kept_words()
N_WORDS: Final = len(WORDS)
KERNEL_KEY_BYTES: Final = N_WORDS * WORD_BYTES
#: The slots of these words, top to bottom: the members of the C struct.
MEMBERS: Final = tuple(slot for slot in SLOTS if offset_of(slot) // WORD_BYTES in WORDS)


def member_offset(slot: Slot) -> int:
    """Byte of the kernel's key at which `slot` starts."""
    whole = offset_of(slot)
    return WORDS.index(whole // WORD_BYTES) * WORD_BYTES + whole % WORD_BYTES


#: The first word of those that common packets fill.
FIRST_HOT_WORD: Final = (
    member_offset(next(slot for slot in SLOTS if slot.name == "skb_priority")) // 8
)
HOT_WORDS: Final = N_WORDS - FIRST_HOT_WORD
#: Words of the options of tunnels, and their number; they come first.
OPTION_WORDS: Final = member_offset(next(s for s in SLOTS if s.name == "tun_opt_present")) // 8 + 1


def _ranges() -> tuple[tuple[int, int, int], ...]:
    """Runs of neighbouring words: (first byte in the kernel's key, bytes, shift in the key)."""
    runs = []
    for _, group in groupby(enumerate(WORDS), lambda pair: pair[1] - pair[0]):
        pairs = list(group)
        first, word = pairs[0]
        size = len(pairs) * WORD_BYTES
        runs.append((first * WORD_BYTES, size, 8 * (KEY_BYTES - word * WORD_BYTES - size)))
    return tuple(runs)


_RANGES: Final = _ranges()
#: All bits of a key that the kernel keeps, and all others.
KERNEL_MASK: Final = sum(((1 << 8 * size) - 1) << shift for _, size, shift in _RANGES)
OTHER_MASK: Final = (1 << 8 * KEY_BYTES) - 1 ^ KERNEL_MASK
#: The halves of the words of an encoded key.
unpack_halves = Struct(f"<{2 * N_WORDS}I").unpack


def encode_key(key: int) -> bytes:
    """The kernel's form of a key or mask; bits that it does not keep are lost."""
    return b"".join(
        [(key >> shift & (1 << 8 * size) - 1).to_bytes(size, "big") for _, size, shift in _RANGES]
    )


#: Where the last run begins, which common packets fill; before it is what packets that come back
#: from the tracker have of their connections; before that, what few packets have.
_LAST_AT: Final = _RANGES[-1][0]
_TRACKED_AT: Final = member_offset(next(slot for slot in SLOTS if slot.name == "ct_nw_src"))
_NOTHING_RARE: Final = bytes(_TRACKED_AT)
_NOTHING_TRACKED: Final = bytes(_LAST_AT - _TRACKED_AT)
_RARE_RUNS: Final = _RANGES[:-1]
_TRACKED_RUNS: Final = ((_TRACKED_AT, _RANGES[0][1] - _TRACKED_AT, _RANGES[0][2]), *_RANGES[1:-1])
assert not _RANGES[-1][2]


def decode_key(data: bytes) -> int:
    """The key of the `KERNEL_KEY_BYTES` bytes of `data`."""
    key = int.from_bytes(data[_LAST_AT:], "big")
    runs = _TRACKED_RUNS
    if data[:_TRACKED_AT] != _NOTHING_RARE:
        runs = _RARE_RUNS
    elif data[_TRACKED_AT:_LAST_AT] == _NOTHING_TRACKED:
        return key
    for at, size, shift in runs:
        key |= int.from_bytes(data[at : at + size], "big") << shift
    return key


def half_shift(number: int) -> int:
    """How far up in a whole key the half word of that number of the kernel's key is."""
    for at, size, shift in _RANGES:
        if at <= 4 * number < at + size:
            return shift + 8 * (at + size - 4 * (number + 1))
    raise ValueError(number)


def mask_halves(mask: int) -> list[tuple[int, int]]:
    """(number of the half word in the kernel's key, its bits as the machine loads them) of every
    half that `mask` touches."""
    halves = unpack_halves(encode_key(mask))
    return [(number, bits) for number, bits in enumerate(halves) if bits]
