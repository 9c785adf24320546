"""One row as a client sees it: of the replica, or with a transaction's changes laid over it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from netloom.ovsdb.types import Datum
    from netloom.ovsdb.uuids import Uuid


class Row:
    """A row: its table, its UUID, and the data of the monitored columns by name.

    `data` is replaced, never changed in place, so a reference to it is a snapshot. The typed
    readers are for callers that know the column's type; a column that is not monitored, or that
    the server's schema lacks, reads as empty (`()`, `{}`, "", 0, False, None)."""

    __slots__ = ("data", "table", "uuid")

    def __init__(self, table: str, uuid: Uuid, data: dict[str, Datum]) -> None:
        self.table = table
        self.uuid = uuid
        self.data = data

    def __getitem__(self, column: str) -> Datum:
        """The column's datum; KeyError if the column is not monitored."""
        return self.data[column]

    def get(self, column: str, default: Datum | None = None) -> Datum | None:
        return self.data.get(column, default)

    def text(self, column: str) -> str:
        """A string column."""
        value: Any = self.data.get(column, "")
        return value  # type: ignore[no-any-return]

    def integer(self, column: str) -> int:
        """An integer column."""
        value: Any = self.data.get(column, 0)
        return value  # type: ignore[no-any-return]

    def flag(self, column: str) -> bool:
        """A boolean column."""
        return bool(self.data.get(column, False))

    def optional(self, column: str) -> Any:
        """The element of a column that holds none or one; None for none."""
        value: Any = self.data.get(column, ())
        return value[0] if value else None

    def opt_text(self, column: str) -> str | None:
        return self.optional(column)  # type: ignore[no-any-return]

    def opt_int(self, column: str) -> int | None:
        return self.optional(column)  # type: ignore[no-any-return]

    def opt_flag(self, column: str) -> bool | None:
        return self.optional(column)  # type: ignore[no-any-return]

    def texts(self, column: str) -> tuple[str, ...]:
        """A set of strings."""
        value: Any = self.data.get(column, ())
        return value  # type: ignore[no-any-return]

    def ints(self, column: str) -> tuple[int, ...]:
        """A set of integers."""
        value: Any = self.data.get(column, ())
        return value  # type: ignore[no-any-return]

    def uuids(self, column: str) -> tuple[Uuid, ...]:
        """A set of UUIDs; a single mandatory UUID as a tuple of one."""
        value: Any = self.data.get(column, ())
        if isinstance(value, str):
            value = (value,)
        return value  # type: ignore[no-any-return]

    def mapping(self, column: str) -> dict[str, str]:
        """A map from string to string; not to be changed."""
        value: Any = self.data.get(column, {})
        return value  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"<{self.table} {self.uuid}>"
