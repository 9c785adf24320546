"""Tables as the tools print them: aligned text, lists, HTML, CSV or JSON.

    table = Table(["name", "tag"])
    table.add([typed_cell(name_type, "vif0"), typed_cell(tag_type, (10,))])
    printer = TablePrinter(Style())
    sys.stdout.write(printer.format(table))

Shared by `ovs-vsctl list` and `find` and by `ovsdb-client`; the option names are in ovs-vsctl(8),
"Table Formatting Options". A printer lives as long as its program's output: in most formats a
blank line separates each table from the one before.
"""

from __future__ import annotations

from netloom.base.errors import CommandError
from netloom.base.getopt import REQUIRED, Option
from netloom.ovsdb import datum as datums
from netloom.ovsdb import datum_text, json_text, uuids

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from netloom.ovsdb.types import ColumnType, Datum

FORMATS = ("table", "list", "html", "csv", "json")
DATA_FORMATS = ("string", "bare", "json")

#: The rows of a program's option table that `Style.set_option` understands.
TABLE_OPTIONS = (
    Option("format", REQUIRED, "f"),
    Option("data", REQUIRED, "d"),
    Option("no-headings"),
    Option("pretty"),
    Option("bare"),
    Option("max-column-width", REQUIRED),
)


class Style:
    """How tables are to look. `max_width` of 0 means no limit."""

    __slots__ = ("data", "format", "headings", "max_width", "pretty")

    def __init__(self, table_format: str = "list", data: str = "string") -> None:
        self.format = table_format
        self.data = data
        self.headings = True
        self.pretty = False
        self.max_width = 0

    def set_option(self, key: str, value: str | None) -> bool:
        """Apply one of TABLE_OPTIONS; False if `key` is another option."""
        if key == "format":
            if value not in FORMATS:
                raise CommandError(f'unknown output format "{value}"')
            self.format = value
        elif key == "data":
            if value not in DATA_FORMATS:
                raise CommandError(f'unknown data format "{value}"')
            self.data = value
        elif key == "no-headings":
            self.headings = False
        elif key == "pretty":
            self.pretty = True
        elif key == "bare":
            self.format, self.data, self.headings = "list", "bare", False
        elif key == "max-column-width":
            self.max_width = _leading_number(value or "")
        else:
            return False
        return True


def _leading_number(text: str) -> int:
    """The decimal number that `text` begins with; 0 for none."""
    digits = 0
    while digits < len(text) and text[digits] in "0123456789":
        digits += 1
    return int(text[:digits] or "0")


class Cell:
    """One cell: plain text, or None for nothing, or a JSON value, or a datum with its type."""

    __slots__ = ("column_type", "is_json", "value")

    def __init__(
        self, value: Any, column_type: ColumnType | None = None, is_json: bool = False
    ) -> None:
        self.value = value
        self.column_type = column_type
        self.is_json = is_json

    def to_json(self) -> Any:
        if self.column_type is not None:
            return datums.datum_to_json(self.column_type, self.value)
        return self.value

    def text(self, data: str) -> str:
        """The cell's text in one of DATA_FORMATS."""
        if self.column_type is not None and data != "json":
            formatter = datum_text.format_datum if data == "string" else datum_text.bare_datum
            return formatter(self.column_type, self.value)
        if self.column_type is not None or self.is_json:
            return json_text.format_json(self.to_json())
        return "" if self.value is None else str(self.value)


def typed_cell(column_type: ColumnType, datum: Datum) -> Cell:
    """The cell for the value of a column."""
    return Cell(datum, column_type)


class Table:
    """Columns with headings and rows of cells; `caption` may be empty, `timestamp` too."""

    __slots__ = ("caption", "headings", "rows", "timestamp")

    def __init__(self, headings: Sequence[str], caption: str = "", timestamp: str = "") -> None:
        self.headings = list(headings)
        self.caption = caption
        self.timestamp = timestamp
        self.rows: list[list[Cell]] = []

    def add(self, row: list[Cell]) -> None:
        assert len(row) == len(self.headings)
        self.rows.append(row)


class TablePrinter:
    """Formats one table after the other in one style."""

    __slots__ = ("_printed", "style")

    def __init__(self, style: Style) -> None:
        self.style = style
        self._printed = 0

    def format(self, table: Table) -> str:
        """The text of `table`, with a final newline."""
        self._printed += 1
        kind = self.style.format
        if kind == "json":
            return self._json(table)
        if kind == "html":
            return self._html(table)
        lines = [] if self._printed == 1 else [""]
        if kind == "csv":
            lines += self._csv_lines(table)
        elif kind == "list":
            lines += self._list_lines(table)
        else:
            lines += self._aligned_lines(table)
        return "".join([line + "\n" for line in lines])

    def _texts(self, table: Table) -> list[list[str]]:
        data = self.style.data
        return [[cell.text(data) for cell in row] for row in table.rows]

    def _title_lines(self, table: Table) -> list[str]:
        lines = []
        if table.timestamp:
            lines.append(table.timestamp)
        if table.caption:
            lines.append(table.caption)
        return lines

    def _aligned_lines(self, table: Table) -> list[str]:
        rows = self._texts(table)
        headings, style = table.headings, self.style
        widths = []
        for x, heading in enumerate(headings):
            width = max((_width(row[x]) for row in rows), default=0)
            if style.max_width and width > style.max_width:
                width = style.max_width
            widths.append(max(width, len(heading)) if style.headings else width)
        lines = self._title_lines(table)
        if style.headings:
            lines.append(" ".join([h.ljust(w) for h, w in zip(headings, widths)]).rstrip())
            lines.append(" ".join(["-" * width for width in widths]))
        for row in rows:
            cells = [_fit(text, width) for text, width in zip(row, widths)]
            lines.append(" ".join(cells).rstrip(" "))
        return lines

    def _list_lines(self, table: Table) -> list[str]:
        lines = self._title_lines(table)
        for y, row in enumerate(self._texts(table)):
            if y:
                lines.append("")
            for heading, text in zip(table.headings, row):
                lines.append(f"{heading:<20}: {text}" if self.style.headings else text)
        return lines

    def _csv_lines(self, table: Table) -> list[str]:
        lines = self._title_lines(table)
        if self.style.headings:
            lines.append(",".join([_csv(heading) for heading in table.headings]))
        lines += [",".join([_csv(text) for text in row]) for row in self._texts(table)]
        return lines

    def _html(self, table: Table) -> str:
        lines = ["<table border=1>"]
        if table.timestamp:
            lines.append(f"    <caption>{_html_escape(table.timestamp)}</caption>")
        if table.caption:
            lines.append(f"    <caption>{_html_escape(table.caption)}</caption>")
        if self.style.headings:
            lines.append("  <tr>")
            lines += [f"    <th>{_html_escape(heading)}</th>" for heading in table.headings]
            lines.append("  </tr>")
        for row in self._texts(table):
            lines.append("  <tr>")
            lines += [
                f"    <td>{_html_cell(x == 0 and heading == '_uuid', text)}</td>"
                for x, (heading, text) in enumerate(zip(table.headings, row))
            ]
            lines.append("  </tr>")
        lines.append("</table>")
        return "".join([line + "\n" for line in lines])

    def _json(self, table: Table) -> str:
        json: dict[str, Any] = {}
        if table.timestamp:
            json["time"] = table.timestamp
        if table.caption:
            json["caption"] = table.caption
        json["headings"] = table.headings
        json["data"] = [[cell.to_json() for cell in row] for row in table.rows]
        return json_line(json, self.style)


def json_line(value: Any, style: Style) -> str:
    """`value` as a line (with `--pretty`, several lines) of JSON."""
    return (json_text.format_pretty(value) if style.pretty else json_text.format_json(value)) + "\n"


def _width(text: str) -> int:
    """The width that Open vSwitch reckons with: bytes of UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def _fit(text: str, width: int) -> str:
    """`text` cut or padded to `width`."""
    if text.isascii():
        return text[:width].ljust(width)
    data = text.encode()[:width]
    return data.decode(errors="ignore") + " " * (width - len(data))


def _csv(text: str) -> str:
    if any(char in text for char in '\n",'):
        return '"' + text.replace('"', '""') + '"'
    return text


_HTML_ESCAPES = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"))


def _html_escape(text: str) -> str:
    for char, entity in _HTML_ESCAPES:
        text = text.replace(char, entity)
    return text


def _html_cell(is_anchor: bool, text: str) -> str:
    """A cell whose UUIDs are links: the first column's names its row, the others' lead there."""
    if is_anchor:
        return f'<a name="{_html_escape(text)}">{_html_escape(text[:8])}</a>'
    parts: list[str] = []
    start = at = 0
    while at < len(text):
        uuid = text[at : at + 36]
        if uuids.parse_uuid(uuid) is None:
            at += 1
            continue
        parts.append(_html_escape(text[start:at]))
        parts.append(f'<a href="#{uuid}">{uuid[:8]}</a>')
        start = at = at + 36
    return "".join(parts) + _html_escape(text[start:])
