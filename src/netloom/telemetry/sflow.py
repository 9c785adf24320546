"""An sFlow agent: samples of packets and of counters, put together into datagrams.

What must hold: samples leave within a second, in datagrams of at most MAX_DATAGRAM bytes; each
source numbers its samples, and the agent its datagrams, without a gap, so that a collector sees
what was lost.

`add_packet` and `add_counters` collect, `tick` is called once a second and says whose counters are
due, `take` hands out datagrams. Pollers of counters begin at different seconds, so that many
interfaces do not all report at once.
"""

from __future__ import annotations

from typing import Final

from netloom.base.log import get_logger
from netloom.base.record import Record
from netloom.telemetry.sflow_format import (
    Element,
    FlowSample,
    Source,
    encode_counters_sample,
    encode_datagram_header,
    encode_flow_sample,
)

log = get_logger("sflow")

#: Where collectors listen (IANA).
PORT: Final = 6343
#: What a datagram may have at most, to cross most networks in one piece.
MAX_DATAGRAM: Final = 1_400
TICK_MS: Final = 1_000
_ONES: Final = 0xFFFFFFFF


class SflowSettings(Record):
    """An sFlow row. `agent` is an address or a device (""; found by the way to a collector),
    `control_ip` the address of a controller's local network, `sub_id` tells the bridges of one
    machine apart."""

    targets: tuple[str, ...]
    sampling: int = 400
    polling_s: int = 30
    header: int = 128
    agent: str = ""
    control_ip: str = ""
    sub_id: int = 0

    @property
    def probability(self) -> int:
        """Of 2**32 packets so many are picked out."""
        return max(1, _ONES // self.sampling) if self.sampling else 0


class _Poller:
    """Counts the seconds until the counters of a source are due."""

    __slots__ = ("countdown", "sequence")

    def __init__(self, countdown: int) -> None:
        self.countdown = countdown
        self.sequence = 0


def _next_second(now_ms: int) -> int:
    return now_ms - now_ms % TICK_MS + TICK_MS


class Agent:
    """The agent of one bridge. `address` is its own, of 4 or 16 bytes."""

    def __init__(
        self, settings: SflowSettings, address: bytes, source: Source, now_ms: int
    ) -> None:
        self.settings = settings
        self._address = address
        self._source = source
        self._started_ms = now_ms
        self._next_tick_ms = _next_second(now_ms)
        self._pollers: dict[Source, _Poller] = {}
        self._n_datagrams = self._n_samples = self._pool = 0
        self._samples: list[bytes] = []
        self._size = 0
        self._full: list[bytes] = []
        self._wants_flush = False

    # Pollers

    def watch(self, sources: set[Source]) -> None:
        """Have the counters of these sources, and no others, come due."""
        if not self.settings.polling_s:
            sources = set()
        for source in [source for source in self._pollers if source not in sources]:
            del self._pollers[source]
        for source in sources:
            if source not in self._pollers:
                # Any number will do that differs between sources.
                first = 1 + source.word * 0x9E3779B1 % _ONES % self.settings.polling_s
                self._pollers[source] = _Poller(first)

    def tick(self, now_ms: int) -> list[Source]:
        """Whose counters are due. What is collected leaves with the next `take`."""
        if now_ms < self._next_tick_ms:
            return []
        self._next_tick_ms = _next_second(now_ms)
        self._wants_flush = True
        due = []
        # The order of Open vSwitch: the data path, then interfaces from the last.
        for source in sorted(self._pollers, key=lambda source: source.word, reverse=True):
            poller = self._pollers[source]
            poller.countdown -= 1
            if poller.countdown <= 0:
                poller.countdown = self.settings.polling_s
                due.append(source)
        return due

    def deadline(self) -> int | None:
        if self._full:
            return 0
        return self._next_tick_ms if self._pollers or self._samples else None

    # Samples

    def add_packet(self, sample: FlowSample, now_ms: int) -> None:
        """A packet was picked out of as many as the settings say."""
        rate = self.settings.sampling
        self._pool += rate
        self._n_samples += 1
        self._add(
            encode_flow_sample(sample, self._source, self._n_samples, rate, self._pool), now_ms
        )

    def add_counters(self, source: Source, elements: list[Element], now_ms: int) -> None:
        """The counters of a source that is due."""
        poller = self._pollers.get(source)
        if poller is not None:
            poller.sequence += 1
            self._add(encode_counters_sample(elements, source, poller.sequence), now_ms)

    def take(self, now_ms: int) -> list[bytes]:
        """The datagrams that are to be sent now."""
        if self._wants_flush:
            self._wants_flush = False
            self._send(now_ms)
        full, self._full = self._full, []
        return full

    def _add(self, sample: bytes, now_ms: int) -> None:
        room = MAX_DATAGRAM - len(self._header(now_ms))
        if len(sample) >= room:
            log.warn_rl("sFlow agent error: %s", "sample too big for datagram")
            return
        if self._size + len(sample) >= room:
            self._send(now_ms)
        self._samples.append(sample)
        self._size += len(sample)

    def _header(self, now_ms: int) -> bytes:
        uptime_ms = now_ms - self._started_ms
        return encode_datagram_header(
            self._address, self.settings.sub_id, self._n_datagrams, uptime_ms, len(self._samples)
        )

    def _send(self, now_ms: int) -> None:
        if self._samples:
            self._n_datagrams += 1
            self._full.append(self._header(now_ms) + b"".join(self._samples))
            self._samples.clear()
            self._size = 0
