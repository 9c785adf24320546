"""Credits of many flows together.

Flows that went the same way through the tables are credited to the same rules. They share one
`SharedCredit`, which adds their packets up, and passes them on when somebody is going to look
(`CreditPool.push`): a thousand flows cost a thousand additions and one walk over the rules, and
hold one reference each instead of a list.

What must hold: whoever reads the counters of rules, tables or groups has pushed the pool before, as
part of having the data path's counters read (`Revalidator.push_statistics`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netloom.ofproto.translate.context import Credit


class CreditPool:
    """All shared credits that have something to pass on."""

    __slots__ = ("waiting",)

    def __init__(self) -> None:
        self.waiting: list[SharedCredit] = []

    def push(self) -> None:
        """Credit the rules, and all others."""
        if self.waiting:
            waiting, self.waiting = self.waiting, []
            for shared in waiting:
                shared.push()


class SharedCredit:
    """Stands for `targets`."""

    __slots__ = ("n_bytes", "n_packets", "pool", "targets", "used_ms")

    def __init__(self, targets: list[Credit], pool: CreditPool) -> None:
        self.targets = targets
        self.pool = pool
        self.n_packets = 0
        self.n_bytes = 0
        self.used_ms = 0

    def credit(self, n_packets: int, n_bytes: int, used_ms: int) -> None:
        if not self.n_packets:
            self.pool.waiting.append(self)
        self.n_packets += n_packets
        self.n_bytes += n_bytes
        if used_ms > self.used_ms:
            self.used_ms = used_ms

    def push(self) -> None:
        """Pass on what came since the last time."""
        n_packets, n_bytes = self.n_packets, self.n_bytes
        self.n_packets = self.n_bytes = 0
        for target in self.targets:
            target.credit(n_packets, n_bytes, self.used_ms)


def all_targets(credits_: list[Credit]) -> list[Credit]:
    """Who is credited in the end."""
    found: list[Credit] = []
    for target in credits_:
        if isinstance(target, SharedCredit):
            found += target.targets
        else:
            found.append(target)
    return found
