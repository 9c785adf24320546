"""Role-based access control (ovsdb-server(7) section 3.1 and ovsdb(7)): what a role may change.

A remote whose row has a `role` gives it to whoever connects; a client proves who it is by the
common name of its certificate. A database with a table `RBAC_Role` then says what that role may do:
`permissions` maps names of tables to rows of a permission table with

    authorization   columns of at most one string, or `column:key` of maps, one of which must hold
                    the client's name in each row concerned; an empty string authorizes every
                    client that has a name
    insert_delete   whether authorized rows may be inserted and deleted
    update          columns that may be changed in authorized rows

Whatever is not permitted is refused, which also holds for a role that is not in the table and for a
client without a name. Reading is not limited. As in Open vSwitch, `column:key` in `update` permits
nothing, since a change is always one of a whole column. A database without `RBAC_Role` limits
nobody.
"""

from __future__ import annotations

from netloom.ovsdb.errors import OvsdbError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from netloom.ovsdb.database import Database, RowData, Table

ROLE_TABLE = "RBAC_Role"
_INSERT = "row insertion into"
_DELETE = "row deletion from"
UPDATE = "modification of"
MUTATE = "mutate operation on"


class Rbac:
    """A client with a role. `client_id` is None for one without a certificate."""

    __slots__ = ("client_id", "role")

    def __init__(self, role: str, client_id: str | None) -> None:
        self.role = role
        self.client_id = client_id

    def check_insert(self, database: Database, table: Table, row: RowData) -> None:
        """Raise `OvsdbError` unless the client may insert that row."""
        self._check_rows(database, table, (row,), _INSERT)

    def check_delete(self, database: Database, table: Table, rows: Iterable[RowData]) -> None:
        """Raise `OvsdbError` unless the client may delete all these rows."""
        self._check_rows(database, table, rows, _DELETE)

    def _check_rows(
        self, database: Database, table: Table, rows: Iterable[RowData], what: str
    ) -> None:
        if ROLE_TABLE not in database.tables:
            return
        permission = self._permission(database, table.name)
        if permission is None or permission.get("insert_delete") is not True:
            raise self._refusal(what, table)
        self._authorize(permission, table, rows, what)

    def check_change(
        self,
        database: Database,
        table: Table,
        rows: Iterable[RowData],
        columns: Iterable[str],
        what: str,
    ) -> None:
        """Raise `OvsdbError` unless the client may change those columns of all these rows (as they
        were before); `what` is `UPDATE` or `MUTATE`."""
        if ROLE_TABLE not in database.tables:
            return
        permission = self._permission(database, table.name)
        if permission is None:
            raise self._refusal(what, table)
        rows = list(rows)
        self._authorize(permission, table, rows, what)
        allowed = _texts(permission.get("update"))
        # What matches no row changes nothing.
        if rows and any(column not in allowed for column in columns):
            raise self._refusal(what, table)

    def check_convert(self, database: Database) -> None:
        """Raise `OvsdbError` if the database knows roles: they may not change its schema."""
        if ROLE_TABLE in database.tables:
            raise OvsdbError(
                "permission error",
                f'{self._rules()} prohibit "convert" of database {database.name} '
                "(only the root role may convert databases)",
            )

    def _rules(self) -> str:
        # A missing name reads as in Open vSwitch, whose C library prints it so.
        client_id = "(null)" if self.client_id is None else self.client_id
        return f'RBAC rules for client "{client_id}" role "{self.role}"'

    def _refusal(self, what: str, table: Table) -> OvsdbError:
        return OvsdbError(
            "permission error", f'{self._rules()} prohibit {what} table "{table.name}".'
        )

    def _authorize(
        self, permission: dict[str, Any], table: Table, rows: Iterable[RowData], what: str
    ) -> None:
        places = _texts(permission.get("authorization"))
        if self.client_id is None:
            raise self._refusal(what, table)
        if "" in places:
            return
        for row in rows:
            if not any(_names(table, row, place, self.client_id) for place in places):
                raise self._refusal(what, table)

    def _permission(self, database: Database, table_name: str) -> dict[str, Any] | None:
        """The columns of the permission row for a table; None if there is none."""
        roles = database.tables[ROLE_TABLE]
        name, permissions = roles.columns.get("name"), roles.columns.get("permissions")
        if name is None or permissions is None or permissions.type.value is None:
            return None
        target = database.tables.get(permissions.type.value.ref_table or "")
        for role in roles.rows.values():
            if target is None or role[name.index] != self.role:
                continue
            chosen: Any = role[permissions.index]
            row = target.rows.get(chosen.get(table_name, ""))
            if row is not None:
                columns = target.schema.columns.values()
                return {column.name: row[column.index] for column in columns}
        return None


def _texts(datum: Any) -> tuple[str, ...]:
    if datum is None:
        return ()
    return datum if isinstance(datum, tuple) else (datum,)


def _names(table: Table, row: RowData, place: str, client_id: str) -> bool:
    """Whether the row holds the client's name at `column` (of at most one string) or
    `column:key` (of a map)."""
    column_name, colon, key = place.partition(":")
    column = table.schema.columns.get(column_name)
    if column is None:
        return False
    datum: Any = row[column.index]
    if column.type.is_map:
        return key != "" and datum.get(key) == client_id
    return not colon and column.type.max == 1 and client_id in _texts(datum)
