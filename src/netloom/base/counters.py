"""Named event counters, shown by `ovs-appctl coverage/show`.

A module asks for its counters once (`DROPS = counters.counter("flow_extract")`) and adds to them
where the event happens; one add is an attribute increment. What is counted anyway need not be
counted twice: a counter may `follow` a number that only grows, which is read when somebody looks.
Rates over the last five seconds, minute and hour are derived by `sample`, which the main loop calls
with the time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

#: A bucket is five seconds long; an hour of them is kept, as `coverage/show` reports an hour.
SAMPLE_MS = 5_000
SAMPLES = 720


class Counter:
    """One event: `total` since start, and the increments of past five-second buckets."""

    __slots__ = ("_followed", "_last", "_own", "buckets", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._own = 0
        self._followed: list[Callable[[], int]] = []
        self._last = 0
        self.buckets: deque[int] = deque(maxlen=SAMPLES)

    @property
    def total(self) -> int:
        return self._own + sum([read() for read in self._followed])

    def add(self, n: int = 1) -> None:
        self._own += n

    def follow(self, read: Callable[[], int]) -> Callable[[], None]:
        """Count what `read` returns, too. What is returned ends that; what was counted stays."""
        self._followed.append(read)

        def leave() -> None:
            if read in self._followed:
                self._followed.remove(read)
                self._own += read()

        return leave

    def close_bucket(self) -> None:
        total = self.total
        self.buckets.append(total - self._last)
        self._last = total

    def rates(self) -> tuple[float, float, int]:
        """Events per second over 5 s and 60 s, and the number over the last hour."""
        recent = list(self.buckets)
        five = recent[-1] if recent else 0
        return five / 5, sum(recent[-12:]) / 60, sum(recent)


class Counters:
    """A registry of counters; one per process, created by the program and handed down."""

    def __init__(self) -> None:
        self._by_name: dict[str, Counter] = {}
        self._next_sample_ms: int | None = None

    def counter(self, name: str) -> Counter:
        """The counter of that name, made on first use."""
        found = self._by_name.get(name)
        if found is None:
            found = self._by_name[name] = Counter(name)
        return found

    def declare(self, names: Iterable[str]) -> None:
        """Have these counters from the start, so that they can be read before they count."""
        for name in names:
            self.counter(name)

    def find(self, name: str) -> Counter | None:
        """The counter of that name if there is one."""
        return self._by_name.get(name)

    def all(self) -> list[Counter]:
        return sorted(self._by_name.values(), key=lambda counter: counter.name)

    def sample(self, now_ms: int) -> None:
        """Close the buckets that ended by `now_ms`."""
        if self._next_sample_ms is None:
            self._next_sample_ms = now_ms + SAMPLE_MS
        while now_ms >= self._next_sample_ms:
            for counter in self._by_name.values():
                counter.close_bucket()
            self._next_sample_ms += SAMPLE_MS
