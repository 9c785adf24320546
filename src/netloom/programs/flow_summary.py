"""Sums over a data path's flows: how much goes by each port, address and so on.

    summary = FlowSummary(now_s)
    for line in dump: summary.add(line, now_s)     # ValueError for what is no flow
    lines = summary_lines(summary, ...)

A flow counts once for each of its fields that are summed, `FIELDS`. One that is seen again counts
with what it says now; one that is not seen any more has its sums stay, also once `forget` has
dropped it: then they are of all that ever was.
"""

from __future__ import annotations

from netloom.base.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

#: Fields that are summed, in the order in which a flow's are listed -> the members that are shown
#: of those that have any; without them the field is not.
FIELDS: dict[str, tuple[str, ...]] = {
    "in_port": (),
    "eth": ("src", "dst"),
    "eth_type": (),
    "ipv4": ("src", "dst"),
    "ipv6": ("src", "dst"),
    "udp": ("dst",),
    "tcp": ("dst",),
    "tunnel": ("src", "dst"),
}
ALL = "all"
#: What may be sorted by, as columns are called.
COLUMNS = ("count", "packets", "bytes", "average")
_SHORTEST_WIDTH, _COLUMN_WIDTH = 80, 9
#: Greater numbers of bytes have units.
_WITHOUT_UNIT = 999_999_999
_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_DOTS = " ..."


class Flow(Record):
    """A line of the dump: `identity` is its match, `sums` what it counts for, as (field, text)."""

    identity: str
    sums: tuple[tuple[str, str], ...]
    n_packets: int
    n_bytes: int


class Sum:
    """What goes by one value of a field."""

    __slots__ = ("field", "n_bytes", "n_flows", "n_packets", "text")

    def __init__(self, field: str, text: str) -> None:
        self.field = field
        self.text = text
        self.n_flows = self.n_packets = self.n_bytes = 0

    def cells(self) -> tuple[int, int, int, int]:
        """As in COLUMNS."""
        average = int(self.n_bytes / self.n_packets) if self.n_packets else 0
        return self.n_flows, self.n_packets, self.n_bytes, average


def split_top(text: str) -> list[str]:
    """What is between the commas that are in no brackets."""
    parts, depth, start = [], 0, 0
    for pos, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            parts.append(text[start:pos])
            start = pos + 1
    return [part for part in (*parts, text[start:]) if part]


def parse_flow(line: str) -> Flow:
    """A line of `dpctl/dump-flows`; ValueError says why it is none."""
    text = "".join(line.split())
    fields, numbers = {}, {}
    for part in split_top(text.partition("actions:")[0]):
        name, bracket, rest = part.partition("(")
        if bracket and rest.endswith(")") and (rest != ")" or name == "eth"):
            fields[name] = rest[:-1]
        elif not bracket and ":" in part:
            key, _, value = part.partition(":")
            numbers[key] = value
        else:
            raise ValueError(f"can't parse >{part}<")
    if not fields:
        raise ValueError(f"flow fields are missing {line.strip()}")
    if "packets" not in numbers or "bytes" not in numbers:
        raise ValueError(f"statistics are missing {line.strip()}")
    identity = ",".join(f"{name}({value})" for name, value in fields.items())
    sums = tuple((name, shown) for name in FIELDS if (shown := _shown(name, fields.get(name))))
    return Flow(identity, sums, int(numbers["packets"]), int(numbers["bytes"]))


def _shown(name: str, value: str | None) -> str:
    """A field as it is listed; empty if it does not have what there is to show."""
    if value is None:
        return ""
    wanted = FIELDS[name]
    if not wanted:
        return f"{name}({value})"
    members = dict(part.partition("=")[::2] for part in split_top(value))
    if not all(member in members for member in wanted):
        return ""
    return f"{name}({','.join(f'{member}={members[member]}' for member in wanted)})"


class FlowSummary:
    """The sums since `begun_s`."""

    def __init__(self, begun_s: float) -> None:
        self.begun_s = begun_s
        self.n_errors = 0
        self.n_flows = 0
        self._sums: dict[str, Sum] = {}
        self._flows: dict[str, tuple[Flow, float]] = {}

    def add(self, line: str, now_s: float) -> None:
        """Count a line of a dump; ValueError if it is no flow, which counts as an error."""
        try:
            flow = parse_flow(line)
        except ValueError:
            self.n_errors += 1
            raise
        before = self._flows.get(flow.identity)
        if before is None:
            self.n_flows += 1
        else:
            self._count(before[0], -1)
        self._count(flow, 1)
        self._flows[flow.identity] = flow, now_s

    def _count(self, flow: Flow, sign: int) -> None:
        for field, text in flow.sums:
            one = self._sums.get(text)
            if one is None:
                one = self._sums[text] = Sum(field, text)
            one.n_flows += sign
            one.n_packets += sign * flow.n_packets
            one.n_bytes += sign * flow.n_bytes

    def forget(self, before_s: float) -> None:
        """Drop the flows that were not seen since; their sums stay."""
        old = [name for name, (_, seen_s) in self._flows.items() if seen_s < before_s]
        for name in old:
            del self._flows[name]

    def sums(self, field: str, column: str) -> list[Sum]:
        """Those of a field, or of ALL, the greatest in a column first, of equals the latest."""
        index = COLUMNS.index(column)
        chosen = [one for one in self._sums.values() if field in (ALL, one.field)]
        chosen.sort(key=lambda one: one.cells()[index])
        return chosen[::-1]


def format_bytes(number: int) -> str:
    """At most nine digits, or a number with a unit."""
    if number <= _WITHOUT_UNIT:
        return str(number)
    power = 1
    while power < len(_UNITS) and number >= 1024 ** (power + 1):
        power += 1
    return f"{number / 1024**power:.1f} {_UNITS[power - 1]}"


def heading(summary: FlowSummary, accumulates: bool, duration: str, field: str, column: str,
            width: int = _SHORTEST_WIDTH) -> Iterator[str]:  # fmt: skip
    """The four lines above the sums."""
    yield "Flow Summary".center(width)
    state = "on" if accumulates else "off"
    yield (
        f" Total: {summary.n_flows}  errors: {summary.n_errors} Accumulate: {state} "
        f"Duration: {duration}"
    ).ljust(width)
    yield _columns("", ["DESC" if name == column else "" for name in COLUMNS], width)
    title = f"FIELDS ({field.upper()})".center(width - 4 * (_COLUMN_WIDTH + 1))
    yield _columns(title, [name.upper() for name in COLUMNS], width)


def format_sum(one: Sum, width: int = _SHORTEST_WIDTH) -> str:
    """One line."""
    room = width - 4 * (_COLUMN_WIDTH + 1) - 1
    text = one.text if len(one.text) <= room else one.text[: room - len(_DOTS)] + _DOTS
    n_flows, n_packets, n_bytes, average = one.cells()
    cells = [str(n_flows), str(n_packets), format_bytes(n_bytes), str(average)]
    return _columns(text, cells, width)


def _columns(first: str, cells: list[str], width: int) -> str:
    words = [first.ljust(width - 4 * (_COLUMN_WIDTH + 1))]
    return " ".join(words + [cell.rjust(_COLUMN_WIDTH) for cell in cells])
