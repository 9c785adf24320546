"""A table of figures beside recorded ones, and goals: how many times better."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Row:
    """One figure; `theirs` 0 if none was recorded. The goal is a ratio, or for rows without a
    recorded figure a bound."""

    what: str
    unit: str
    ours: float
    theirs: float
    goal: float
    lower: bool

    @property
    def ratio(self) -> float:
        """How many times better than the recorded figure; 0 without one."""
        if not self.theirs:
            return 0.0
        return self.theirs / self.ours if self.lower else self.ours / self.theirs

    @property
    def reached(self) -> bool:
        if self.theirs:
            return self.ratio >= self.goal
        return self.ours <= self.goal if self.lower else self.ours >= self.goal


class FactTable:
    """Rows in the order in which they are added."""

    def __init__(self, title: str, theirs: str) -> None:
        self.title = title
        self.theirs = theirs
        self.rows: list[Row] = []

    def add(
        self,
        what: str,
        unit: str,
        ours: float,
        theirs: float,
        goal: float,
        lower: bool = False,
    ) -> None:
        self.rows.append(Row(what, unit, ours, theirs, goal, lower))

    def print(self) -> None:
        table = Table(
            *("figure", "unit", "netloom", self.theirs, "times better", "goal", "reached"),
            title=self.title,
        )
        for row in self.rows:
            bound = f"{'<=' if row.lower else '>='} {row.goal:g} {row.unit}"
            table.add_row(
                row.what,
                row.unit,
                f"{row.ours:.4g}",
                f"{row.theirs:.4g}" if row.theirs else "-",
                f"{row.ratio:.1f}" if row.theirs else "-",
                f"{row.goal:g}x" if row.theirs else bound,
                "yes" if row.reached else "NO",
            )
        Console(width=120).print(table)
