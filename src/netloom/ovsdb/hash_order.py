"""The order in which the tools list rows, tables and columns.

A database has no order, but scripts compare outputs, so the tools show what Open vSwitch's show:
the order of its hash tables, which depends on the keys, on how many there are and on the order in
which the server sent them. A JSON object is such a table, hashed by the members' names
(MurmurHash3); a replica's table is another, hashed by the first 32 bits of the UUID. Both double
when they hold more than two entries per bucket, and a new entry goes to the head of its bucket.

Costs 12 us a row, so it is left out above `MAX_ROWS`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

#: Beyond this many rows the server's order is kept: nobody reads these by eye.
MAX_ROWS = 2000
_MASK = 0xFFFFFFFF


def text_hash(text: str) -> int:
    """MurmurHash3 (32 bits, seed 0) of the UTF-8 text, its end padded with zeros to a word."""
    data = text.encode()
    value = 0
    for at in range(0, len(data), 4):
        k = int.from_bytes(data[at : at + 4], "little") * 0xCC9E2D51 & _MASK
        k = (k << 15 | k >> 17) & _MASK
        value ^= k * 0x1B873593 & _MASK
        value = (value << 13 | value >> 19) & _MASK
        value = value * 5 + 0xE6546B64 & _MASK
    value ^= len(data)
    value = (value ^ value >> 16) * 0x85EBCA6B & _MASK
    value = (value ^ value >> 13) * 0xC2B2AE35 & _MASK
    return value ^ value >> 16


def table_order(keys: Iterable[tuple[int, str]]) -> list[str]:
    """The keys, given as (hash, key) in order of insertion, in the order of the hash table."""
    mask = 0
    buckets: list[list[tuple[int, str]]] = [[]]
    for count, item in enumerate(keys, 1):
        # The head of a bucket is the end of its list.
        buckets[item[0] & mask].append(item)
        if count // 2 > mask:
            mask = _mask_for(count)
            grown: list[list[tuple[int, str]]] = [[] for _ in range(mask + 1)]
            for bucket in buckets:
                for moved in reversed(bucket):
                    grown[moved[0] & mask].append(moved)
            buckets = grown
    return [key for bucket in buckets for _, key in reversed(bucket)]


def _mask_for(count: int) -> int:
    """Buckets minus one for `count` entries: at least 4 buckets if there are any."""
    mask = (1 << (count // 2).bit_length()) - 1
    return mask | (mask & 1) << 1


def object_order(names: Iterable[str]) -> list[str]:
    """The names of a JSON object's members in the order of its hash table."""
    return table_order((text_hash(name), name) for name in names)


def listed_order(uuids: list[str]) -> list[str]:
    """The UUIDs of a table's rows, given in the server's order, as they are to be listed."""
    if len(uuids) > MAX_ROWS or len(uuids) < 2:
        return uuids
    return table_order((int(uuid[:8], 16), uuid) for uuid in object_order(uuids))
