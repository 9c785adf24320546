"""Protocols: a version of OpenFlow together with the way flows are written in it.

OpenFlow 1.0 has four: with its own match or with NXM, each with or without table numbers in flow
mods. A protocol is one bit, a set of protocols an integer; names are those of ovs-ofctl's
`--flow-format`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

P_OF10: Final = 1 << 0
P_OF10_TID: Final = 1 << 1
P_NXM: Final = 1 << 2
P_NXM_TID: Final = 1 << 3
P_OF11: Final = 1 << 4
P_OF12: Final = 1 << 5
P_OF13: Final = 1 << 6
P_OF14: Final = 1 << 7
P_OF15: Final = 1 << 8

P_OF10_ANY: Final = P_OF10 | P_OF10_TID | P_NXM | P_NXM_TID
P_NXM_ANY: Final = P_NXM | P_NXM_TID
P_OXM_ANY: Final = P_OF12 | P_OF13 | P_OF14 | P_OF15
P_ANY: Final = (1 << 9) - 1
#: Those whose flow mods say of which table they are.
P_TID: Final = P_ANY & ~(P_OF10 | P_NXM)

#: Protocol -> its wire version.
VERSION: dict[int, int] = {
    P_OF10: 1, P_OF10_TID: 1, P_NXM: 1, P_NXM_TID: 1, P_OF11: 2, P_OF12: 3,
    P_OF13: 4, P_OF14: 5, P_OF15: 6,
}  # fmt: skip
#: Wire version -> the protocol that a new connection starts with.
INITIAL: dict[int, int] = {1: P_OF10, 2: P_OF11, 3: P_OF12, 4: P_OF13, 5: P_OF14, 6: P_OF15}

#: Wire version -> names that --protocols takes.
VERSION_NAMES: dict[int, str] = {n: f"OpenFlow1{n - 1}" for n in range(1, 7)}


def set_table_id(protocol: int, enable: bool) -> int:
    """`protocol` with table numbers in flow mods, or without (later versions always have them)."""
    if protocol & P_OF10_ANY == 0:
        return protocol
    base = P_NXM if protocol & P_NXM_ANY else P_OF10
    return base << 1 if enable else base


def set_nxm(protocol: int, enable: bool) -> int:
    """`protocol` of OpenFlow 1.0 with NXM matches, or without."""
    if protocol & P_OF10_ANY == 0:
        return protocol
    base = P_NXM if enable else P_OF10
    return base << 1 if protocol & P_TID else base
