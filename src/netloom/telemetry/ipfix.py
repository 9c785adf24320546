"""An IPFIX exporter (RFC 7011): packets that were seen become records of flows.

Packets with the same record but for its counters are one flow; it is kept until it is older than
the active timeout or until there are more flows than may be kept, and then sent. Without a timeout
or without room each packet is a record of its own.

What must hold: a collector gets the templates of an observation domain before the first record of
it, and again every template interval, for datagrams get lost; messages are numbered by the records
that were sent before; times of flows lie before the export time of their message.

Limits: a record's flows are kept up to `max_flows` of the settings, which MAX_FLOWS bounds: a
kilobyte each. Domains are remembered up to MAX_DOMAINS; beyond, templates are sent more often.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import pack
from typing import Final

from netloom.base.record import Record
from netloom.telemetry import ipfix_templates as t
from netloom.telemetry.ipfix_counts import FlowCounts, Totals
from netloom.telemetry.ipfix_record import Observation, encode_flow, kind_of, variable

#: Where collectors listen (IANA).
PORT: Final = 4739
#: Flows that an exporter keeps at most, whatever it is told: a kilobyte each.
MAX_FLOWS: Final = 100_000
#: Domains come with each sample: a controller may make up as many as it likes.
MAX_DOMAINS: Final = 1_024
#: A message of templates is full with so many bytes.
_FULL: Final = 1_024
#: Bytes of a virtual observation id.
_MAX_OBS_ID: Final = 254
_HEADER_LEN: Final = 16
_VERSION: Final = 10
_ONES: Final = 0xFFFFFFFF
#: Why a flow ended (element 136).
ACTIVE_TIMEOUT, FORCED_END, LACK_OF_RESOURCES = 2, 4, 5

#: Sends a datagram to all collectors: how many got it, and how many did not.
Send = Callable[[bytes], tuple[int, int]]


class IpfixSettings(Record):
    """An IPFIX row: of a bridge, or (with `set_id`) of a collector set for `sample` actions.
    `sampling`, the ids of domain and point, and what is sampled concern bridges only."""

    targets: tuple[str, ...]
    set_id: int = -1
    sampling: int = 400
    domain_id: int = 0
    point_id: int = 0
    active_timeout_s: int = 0
    max_flows: int = 0
    samples_tunnels: bool = True
    samples_input: bool = True
    samples_output: bool = True
    virtual_obs_id: str = ""
    template_interval_s: int = 600
    stats_interval_s: int = 600

    @property
    def probability(self) -> int:
        """Of 2**32 packets so many are sampled."""
        return max(1, _ONES // self.sampling)


class Statistics:
    """What controllers are told of an exporter."""

    __slots__ = ("error_packets", "ipv4_error_packets", "ipv4_packets", "ipv6_error_packets",
                 "ipv6_packets", "packets", "total_flows", "tx_errors", "tx_packets")  # fmt: skip

    def __init__(self) -> None:
        self.total_flows = self.packets = self.ipv4_packets = self.ipv6_packets = 0
        self.error_packets = self.ipv4_error_packets = self.ipv6_error_packets = 0
        self.tx_packets = self.tx_errors = 0

    def count(self, kind: t.Kind) -> None:
        """A packet was sampled; one of IP without a transport layer that is known is wrong."""
        self.packets += 1
        is_bad = kind.network != t.OTHER and kind.transport == t.UNKNOWN
        self.error_packets += is_bad
        if kind.network == t.IPV4:
            self.ipv4_error_packets += is_bad
            self.ipv4_packets += not is_bad
        elif kind.network == t.IPV6:
            self.ipv6_error_packets += is_bad
            self.ipv6_packets += not is_bad


#: Domain, template and the bytes that say which flow it is.
_FlowName = tuple[int, int, bytes]


class Exporter:
    """One exporter; `number` tells those of a process apart."""

    def __init__(self, settings: IpfixSettings, number: int, send: Send) -> None:
        self.settings = settings
        self.statistics = Statistics()
        self._number = number
        self._send = send
        self._totals = Totals()
        #: In the order of their beginnings.
        self._flows: dict[_FlowName, tuple[t.Kind, FlowCounts]] = {}
        self._sequence = 1
        #: Domain -> when its templates were sent, by export time.
        self._domains: dict[int, int] = {}
        self._options_s = self._stats_s = -1

    @property
    def n_flows(self) -> int:
        """Flows that are kept now."""
        return len(self._flows)

    def configure(self, settings: IpfixSettings, wall_ms: int) -> None:
        """Take over settings; flows for which there is no room any more are sent."""
        if bool(settings.virtual_obs_id) != bool(self.settings.virtual_obs_id):
            # It is told of flows when they are sent; templates have it or not.
            self._domains.clear()
        self.settings = settings
        self.run(wall_ms)

    def see(self, seen: Observation, wall_ms: int) -> None:
        """A packet was sampled."""
        kind = kind_of(seen)
        now_us = 1_000 * wall_ms
        self.statistics.count(kind)
        name = (seen.domain_id, kind.number, encode_flow(seen, kind))
        flow = self._flows.get(name)
        if flow is None:
            self.statistics.total_flows += 1
            flow = self._flows[name] = (kind, FlowCounts(now_us))
        flow[1].add(seen, kind, self._totals, now_us)
        self.run(wall_ms)

    def run(self, wall_ms: int) -> None:
        """Send flows that are old enough, or too many."""
        timeout_us = 1_000_000 * self.settings.active_timeout_s
        room = min(self.settings.max_flows, MAX_FLOWS)
        oldest_us = 1_000 * wall_ms - timeout_us
        while self._flows:
            name, (kind, counts) = next(iter(self._flows.items()))
            if counts.start_us <= oldest_us:
                reason = ACTIVE_TIMEOUT
            elif len(self._flows) > room:
                reason = LACK_OF_RESOURCES
            else:
                return
            del self._flows[name]
            self._tell(name, kind, counts, reason, wall_ms)

    def flush(self, wall_ms: int) -> None:
        """Send all flows."""
        flows, self._flows = self._flows, {}
        for name, (kind, counts) in flows.items():
            self._tell(name, kind, counts, FORCED_END, wall_ms)

    def due_in_ms(self, wall_ms: int) -> int | None:
        """When the oldest flow has to be sent; None if there is none."""
        for _, counts in self._flows.values():
            due_ms = counts.start_us // 1_000 + 1_000 * self.settings.active_timeout_s
            return max(due_ms - wall_ms, 0)
        return None

    def _tell(
        self, name: _FlowName, kind: t.Kind, counts: FlowCounts, reason: int, wall_ms: int
    ) -> None:
        domain, number, record = name
        # Times of flows are told as what they lie before this one.
        export_s = -(-wall_ms // 1_000)
        self._send_templates(domain, export_s)
        if virtual_obs_id := self.settings.virtual_obs_id.encode()[:_MAX_OBS_ID]:
            record += variable(virtual_obs_id)
        data = record + counts.encode(kind, export_s, reason)
        self._message(t.data_set(number, data), domain, export_s, has_record=True)

    def _send_templates(self, domain: int, export_s: int) -> None:
        settings = self.settings
        if self._is_due(self._domains.get(domain, -1), settings.template_interval_s, export_s):
            if len(self._domains) >= MAX_DOMAINS:
                self._domains.clear()
            self._domains[domain] = export_s
            for body in t.template_sets(bool(settings.virtual_obs_id), _FULL - _HEADER_LEN):
                self._message(body, domain, export_s)
        if self._is_due(self._options_s, settings.template_interval_s, export_s):
            self._options_s = export_s
            self._message(t.exporter_template_set(), 0, export_s)
        if self._is_due(self._stats_s, settings.stats_interval_s, export_s):
            self._stats_s = export_s
            body = t.exporter_set(self._number, self.statistics.tx_errors)
            self._message(body, 0, export_s, has_record=True)

    @staticmethod
    def _is_due(last_s: int, interval_s: int, now_s: int) -> bool:
        return last_s < 0 or last_s + interval_s <= now_s

    def _message(self, body: bytes, domain: int, export_s: int, has_record: bool = False) -> None:
        header = pack(
            ">HHIII", _VERSION, _HEADER_LEN + len(body), export_s & _ONES, self._sequence & _ONES,
            domain,
        )  # fmt: skip
        self._sequence += has_record
        n_sent, n_failed = self._send(header + body)
        self.statistics.tx_packets += n_sent
        self.statistics.tx_errors += n_failed
