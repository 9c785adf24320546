"""Packets that go into tunnels and elsewhere: what can be done in which order.

The programs cannot put the headers of a tunnel on a copy. They put them on the packet, send that,
write the next tunnel's headers over them, and take them off if something else is to follow. So
whatever leaves as it is leaves first, and tunnels stand together (`bpf/spread.h`).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from netloom.datapath import actions as dp

#: What leaves the packet as it is.
_PLAIN: Final = (dp.Output, dp.Userspace)


class Spread(NamedTuple):
    """Actions in the order in which they are done: `plain` ones, clones into `tunnels`, and a
    `tail` that wants the packet as it was."""

    plain: dp.DpActions
    tunnels: tuple[dp.Clone, ...]
    tail: dp.DpActions


def is_tunnelled(actions: dp.DpActions) -> bool:
    """Whether a copy goes into a tunnel, and after that nowhere but out: with tags perhaps."""
    if not actions or not isinstance(actions[0], dp.TunnelPush):
        return False
    at = 1
    while at < len(actions) and isinstance(actions[at], dp.PushVlan):
        at += 1
    return at < len(actions) and all(isinstance(action, dp.Output) for action in actions[at:])


def spread(actions: dp.DpActions) -> Spread:
    """`actions`, of which the first is a clone into a tunnel, in their order."""
    plain: list[dp.DpAction] = []
    tunnels: list[dp.Clone] = []
    for at, action in enumerate(actions):
        if isinstance(action, dp.Clone) and is_tunnelled(action.actions):
            tunnels.append(action)
        elif isinstance(action, _PLAIN):
            plain.append(action)
        else:
            return Spread(tuple(plain), tuple(tunnels), tuple(actions[at:]))
    return Spread(tuple(plain), tuple(tunnels), ())
