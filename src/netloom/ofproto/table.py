"""One flow table: its rules, its limit, and what happens when it is full or a packet misses."""

from __future__ import annotations

from netloom.ofproto.classifier import DEFAULT_PREFIXES, Classifier
from netloom.ofproto.eviction import Eviction
from netloom.ofproto.rules import Rule
from netloom.ofproto.settings import TableSettings
from netloom.openflow.actions import Subfield

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

#: Flows that a table may hold, as replies say, where there is no limit.
MAX_ENTRIES: Final = 1_000_000
#: What becomes of a packet that no rule matches: as the protocol of controllers has it, or by
#: table mod of OpenFlow 1.1 and 1.2.
MISS_DEFAULT, MISS_CONTROLLER, MISS_CONTINUE, MISS_DROP = range(4)

#: Reasons of table status messages (OFPTR_*).
VACANCY_DOWN: Final = 3
VACANCY_UP: Final = 4


class Table:
    """One flow table.

    `evicts_by_row` and `evicts_by_mod` say who wants rules evicted: the Flow_Table row, or a
    controller; a name of the row (`named_by_row`) prevails over one of a controller. Vacancy is the
    percentage of the limit that is free; `vacancy_event` is the VACANCY_* that would be told next,
    0 for none."""

    __slots__ = (
        "_group_fields", "classifier", "eviction", "evicts_by_mod", "evicts_by_row", "flow_limit",
        "id", "miss", "n_lookups", "n_matches", "name", "named_by_row", "prefixes",
        "vacancy_down", "vacancy_event", "vacancy_up",
    )  # fmt: skip

    def __init__(self, table_id: int) -> None:
        self.id = table_id
        self.name = ""
        self.named_by_row = False
        self.classifier: Classifier[Rule] = Classifier()
        self.prefixes: tuple[str, ...] = DEFAULT_PREFIXES
        self.n_lookups = 0
        self.n_matches = 0
        self.miss = MISS_DEFAULT
        self.flow_limit: int | None = None
        self.evicts_by_row = False
        self.evicts_by_mod = False
        self.eviction: Eviction | None = None
        self._group_fields: tuple[Subfield, ...] = ()
        self.vacancy_down = 0
        self.vacancy_up = 0
        self.vacancy_event = 0

    @property
    def max_entries(self) -> int:
        """The limit as replies have it."""
        return MAX_ENTRIES if self.flow_limit is None else self.flow_limit

    @property
    def is_full(self) -> bool:
        return self.flow_limit is not None and len(self.classifier) >= self.flow_limit

    @property
    def vacancy(self) -> int:
        """Percentage of the table that is free."""
        if self.flow_limit is None:
            # Of a limit of 2**32 - 1, rounded down.
            return 99 if len(self.classifier) else 100
        free = max(self.flow_limit - len(self.classifier), 0)
        return free * 100 // self.flow_limit if self.flow_limit else 0

    def configure(self, settings: TableSettings) -> bool:
        """Take over a Flow_Table row; whether packets may now match otherwise wide flows."""
        self._follow_row_name(settings.name)
        self.flow_limit = None if settings.flow_limit < 0 else settings.flow_limit
        self.evicts_by_row = settings.evict
        self._group_fields = settings.groups
        self._follow_eviction()
        prefixes = DEFAULT_PREFIXES if settings.prefixes is None else settings.prefixes
        if prefixes == self.prefixes:
            return False
        self.prefixes = prefixes
        self.classifier.set_prefixes(prefixes)
        return True

    def _follow_row_name(self, name: str) -> None:
        if name or self.named_by_row:
            self.name = name
        self.named_by_row = bool(name)

    def evict_by_mod(self, enabled: bool) -> None:
        """A controller wants rules evicted, or not."""
        self.evicts_by_mod = enabled
        self._follow_eviction()

    def _follow_eviction(self) -> None:
        if not (self.evicts_by_row or self.evicts_by_mod):
            self.eviction = None
        elif self.eviction is None or self.eviction.fields != self._group_fields:
            self.eviction = Eviction(self._group_fields)
            for rule in self.classifier.rules():
                self.eviction.add(rule)

    def watch_vacancy(self, limits: tuple[int, int] | None) -> None:
        """Tell of vacancy below the first percentage and above the second; None: no more."""
        if limits is None:
            self.vacancy_down = self.vacancy_up = self.vacancy_event = 0
            return
        self.vacancy_down, self.vacancy_up = limits
        if not self.vacancy_event:
            low = self.vacancy < self.vacancy_up
            self.vacancy_event = VACANCY_UP if low else VACANCY_DOWN

    def vacancy_reached(self) -> int:
        """The VACANCY_* that is to be told now, 0 for none."""
        event = self.vacancy_event
        if event == VACANCY_DOWN and self.vacancy < self.vacancy_down:
            self.vacancy_event = VACANCY_UP
            return event
        if event == VACANCY_UP and self.vacancy > self.vacancy_up:
            self.vacancy_event = VACANCY_DOWN
            return event
        return 0
