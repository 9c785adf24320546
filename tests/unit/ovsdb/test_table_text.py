"""The text of tables."""

from __future__ import annotations

import pytest

from netloom.base.errors import CommandError
from netloom.ovsdb.table_text import Cell, Style, Table, TablePrinter, typed_cell
from netloom.ovsdb.types import ColumnType

STRING = ColumnType.from_json("string")
TAGS = ColumnType.from_json({"key": "integer", "min": 0, "max": 3})
UUID = ColumnType.from_json("uuid")
ONE = "11111111-2222-3333-4444-555555555555"


def table() -> Table:
    made = Table(["name", "tags"])
    made.add([typed_cell(STRING, 'a, "b"'), typed_cell(TAGS, ())])
    made.add([typed_cell(STRING, "c"), typed_cell(TAGS, (1, 2))])
    return made


def formatted(table_format: str, data: str = "string", made: Table | None = None) -> str:
    return TablePrinter(Style(table_format, data)).format(made or table())


def test_table_aligns_columns_and_underlines_headings() -> None:
    assert formatted("table") == (
        'name       tags\n---------- ------\n"a, \\"b\\"" []\nc          [1, 2]\n'
    )


def test_table_reckons_width_in_bytes_of_utf8() -> None:
    made = Table(["n", "m"])
    made.add([Cell("é"), Cell("x")])
    assert formatted("table", made=made) == "n  m\n-- -\né x\n"


def test_width_limit_cuts_cells_but_not_headings() -> None:
    style = Style("table")
    style.max_width = 2
    made = Table(["heading", "b"])
    made.add([Cell("abcdefghij"), Cell("xyz")])
    assert TablePrinter(style).format(made) == "heading b\n------- --\nabcdefg xy\n"


def test_list_puts_a_blank_line_between_records() -> None:
    assert formatted("list") == (
        'name                : "a, \\"b\\""\n'
        "tags                : []\n"
        "\n"
        "name                : c\n"
        "tags                : [1, 2]\n"
    )


def test_bare_data_has_no_punctuation() -> None:
    style = Style()
    assert style.set_option("bare", None)
    assert TablePrinter(style).format(table()) == 'a, "b"\n\n\nc\n1 2\n'


def test_csv_quotes_what_has_commas_quotes_or_line_ends() -> None:
    assert formatted("csv", "bare") == 'name,tags\n"a, ""b""",\nc,1 2\n'


def test_json_has_ovsdb_values_whatever_the_data_format() -> None:
    want = '{"data":[["a, \\"b\\"",["set",[]]],["c",["set",[1,2]]]],"headings":["name","tags"]}\n'
    assert formatted("json") == want
    assert formatted("json", "bare") == want


def test_html_makes_an_anchor_of_the_row_and_links_of_references() -> None:
    made = Table(["_uuid", "ref"])
    made.add([typed_cell(UUID, ONE), Cell(f"<{ONE}>")])
    text = formatted("html", made=made)
    assert f'<td><a name="{ONE}">11111111</a></td>' in text
    assert f'<td>&lt;<a href="#{ONE}">11111111</a>&gt;</td>' in text


def test_second_table_follows_a_blank_line() -> None:
    printer = TablePrinter(Style("csv"))
    assert not printer.format(table()).startswith("\n")
    assert printer.format(table()).startswith("\n")


def test_unknown_formats_are_refused_with_their_names() -> None:
    with pytest.raises(CommandError, match='unknown output format "foo"'):
        Style().set_option("format", "foo")
    with pytest.raises(CommandError, match='unknown data format "foo"'):
        Style().set_option("data", "foo")


@pytest.mark.parametrize(("text", "width"), [("12", 12), ("12x", 12), ("x", 0), ("\u00b2", 0)])
def test_greatest_width_of_columns_is_a_number_in_front(text: str, width: int) -> None:
    style = Style()
    style.set_option("max-column-width", text)
    assert style.max_width == width
