"""Splitting a command line into commands."""

from __future__ import annotations

import pytest

from netloom.base.errors import CommandError
from netloom.programs.db_ctl.command_line import Command, parse_commands
from netloom.programs.db_ctl.options import parse_options
from netloom.programs.vsctl.main import PROGRAM


def parse(line: str, **local: str | None) -> list[Command]:
    options = {f"--{name.replace('_', '-')}": value for name, value in local.items()}
    return parse_commands(line.split(), options, PROGRAM.specs)


def complaint(line: str, **local: str | None) -> str:
    with pytest.raises(CommandError) as caught:
        parse(line, **local)
    return str(caught.value)


def test_commands_are_separated_by_double_dashes() -> None:
    commands = parse("-- add-br a -- --may-exist add-port a b -- list-br --")
    assert [(c.spec.name, c.args) for c in commands] == [
        ("add-br", ["a"]), ("add-port", ["a", "b"]), ("list-br", []),
    ]  # fmt: skip
    assert commands[1].options == {"--may-exist": None}


def test_options_among_the_global_ones_belong_to_the_first_command() -> None:
    first, second = parse("list port -- list-br", columns="name")
    assert first.options == {"--columns": "name"}
    assert second.options == {}


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("", "missing command name (use --help for help)"),
        ("-- --", "missing command name (use --help for help)"),
        ("foo", "unknown command 'foo'; use --help for help"),
        ("add-br", "'add-br' command requires at least 1 arguments"),
        ("add-br a b c d", "'add-br' command takes at most 3 arguments"),
        (
            "list-br -x",
            "'list-br' command takes at most 0 arguments (note that options must precede command "
            'names and follow a "--" argument)',
        ),
        ("-- --foo add-br x", "'add-br' command has no '--foo' option"),
        (
            "-- --may-exist=3 add-br x",
            "'--may-exist' option on 'add-br' does not accept an argument",
        ),
        ("-- --columns list br", "missing argument to '--columns' option on 'list' command"),
        (
            "-- --may-exist --may-exist add-br x",
            "'--may-exist' option specified multiple times",
        ),
    ],
)
def test_wrong_command_line_gets_open_vswitchs_complaint(line: str, text: str) -> None:
    assert complaint(line) == text


def test_local_option_without_command_is_missed() -> None:
    assert complaint("", may_exist=None) == "missing command name (use --help for help)"


def test_global_and_local_options_are_told_apart() -> None:
    settings = parse_options(
        PROGRAM, ["--db=x", "--id=@a", "--no-wait", "-t", "3", "create", "--x"]
    )
    assert (settings.db, settings.wait, settings.timeout) == ("x", False, 3)
    assert settings.local == {"--id": "@a"}
    assert settings.words == ["create", "--x"]


@pytest.mark.parametrize("value", ["x", "0", "-1", ""])
def test_timeout_must_be_a_positive_number(value: str) -> None:
    with pytest.raises(CommandError, match="on -t or --timeout is invalid"):
        parse_options(PROGRAM, [f"--timeout={value}", "list-br"])


def test_timeout_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVS_CTL_TIMEOUT", "7")
    assert parse_options(PROGRAM, ["list-br"]).timeout == 7
    assert parse_options(PROGRAM, ["-t", "2", "list-br"]).timeout == 2
