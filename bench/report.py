"""A table of figures side by side."""

from __future__ import annotations

from statistics import median

from rich.console import Console
from rich.table import Table


class Report:
    """Collects samples of both sides and prints medians and their ratio."""

    def __init__(self, title: str, ours: str = "netloom", theirs: str = "Open vSwitch 3.1") -> None:
        self.title = title
        self.sides = (ours, theirs)
        self.rows: dict[tuple[str, str], tuple[list[float], list[float]]] = {}
        self.lower_is_better: set[tuple[str, str]] = set()

    def add(self, what: str, unit: str, side: int, value: float, lower: bool = False) -> None:
        """One sample of `what`: side 0 is ours, 1 theirs."""
        row = (what, unit)
        self.rows.setdefault(row, ([], []))[side].append(value)
        if lower:
            self.lower_is_better.add(row)

    def print(self) -> None:
        table = Table("figure", "unit", *self.sides, "ratio", "spread of ours", title=self.title)
        for (what, unit), (ours, theirs) in self.rows.items():
            a, b = median(ours), median(theirs)
            note = " (lower is better)" if (what, unit) in self.lower_is_better else ""
            spread = f"{min(ours):.4g} to {max(ours):.4g}"
            table.add_row(what + note, unit, f"{a:.4g}", f"{b:.4g}", f"{a / b:.2f}", spread)
        Console(width=120).print(table)
