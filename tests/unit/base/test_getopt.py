from __future__ import annotations

import pytest

from netloom.base.getopt import (
    NO,
    OPTIONAL,
    REQUIRED,
    Getopt,
    Option,
    UsageError,
    format_options,
    time_limit,
)

OPTIONS = (
    Option("target", REQUIRED, "t"),
    Option("timeout", REQUIRED, "T"),
    Option("help", NO, "h"),
    Option("verbose", OPTIONAL, "v"),
    Option("version", NO, "V"),
    Option("", NO, "x"),
    Option("more", NO, "m"),
    Option("more-still", NO, key="more"),
)


def parse(*argv: str, stop: bool = True) -> tuple[list[tuple[str, str | None]], list[str]]:
    options = Getopt("prog", argv, OPTIONS, stop_at_operand=stop)
    return list(options), options.operands


@pytest.mark.parametrize(
    ("argv", "found", "operands"),
    [
        (["--target=a", "b"], [("target", "a")], ["b"]),
        (["--target", "a", "b"], [("target", "a")], ["b"]),
        (["-ta", "b"], [("target", "a")], ["b"]),
        (["-t", "a", "b"], [("target", "a")], ["b"]),
        (["-xhta", "b"], [("x", None), ("help", None), ("target", "a")], ["b"]),
        (["--ta=", "b"], [("target", "")], ["b"]),
        (["-v", "b"], [("verbose", None)], ["b"]),
        (["-vb"], [("verbose", "b")], []),
        (["--verbose", "b"], [("verbose", None)], ["b"]),
        (["--verb=b"], [("verbose", "b")], []),
        (["-h", "--", "-x"], [("help", None)], ["-x"]),
        (["-h", "-", "-x"], [("help", None)], ["-", "-x"]),
        (["cmd", "--nosuch"], [], ["cmd", "--nosuch"]),
        (["--more"], [("more", None)], []),
        (["--mo"], [("more", None)], []),
        (["--target=a=b"], [("target", "a=b")], []),
    ],
)
def test_command_lines_are_read_as_getopt_long_reads_them(
    argv: list[str], found: list[tuple[str, str | None]], operands: list[str]
) -> None:
    assert parse(*argv) == (found, operands)


def test_options_after_operands_count_unless_the_first_operand_ends_them() -> None:
    assert parse("a", "-h", "b", "-x", "--", "-V", stop=False) == (
        [("help", None), ("x", None)],
        ["a", "b", "-V"],
    )
    assert parse("a", "-h") == ([], ["a", "-h"])


def test_posixly_correct_stops_at_the_first_operand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSIXLY_CORRECT", "1")
    assert parse("a", "-h", stop=False) == ([], ["a", "-h"])


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--foo=bar"], "prog: unrecognized option '--foo=bar'"),
        (["--t"], "prog: option '--t' is ambiguous; possibilities: '--target' '--timeout'"),
        (["--help=3"], "prog: option '--help' doesn't allow an argument"),
        (["--target"], "prog: option '--target' requires an argument"),
        (["-t"], "prog: option requires an argument -- 't'"),
        (["-xq"], "prog: invalid option -- 'q'"),
    ],
)
def test_errors_are_worded_as_the_c_library_words_them(argv: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(*argv)
    assert str(caught.value) == message


def test_options_before_an_error_take_effect() -> None:
    seen = []
    with pytest.raises(UsageError):
        for key, _ in Getopt("prog", ["-h", "--nosuch"], OPTIONS):
            seen.append(key)
    assert seen == ["help"]


def test_option_table_is_listed_with_its_arguments() -> None:
    assert format_options(OPTIONS[:4]) == (
        "--target=ARG\n-t ARG\n--timeout=ARG\n-T ARG\n--help\n-h \n--verbose=[ARG]\n-v [ARG]\n"
    )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1", 1), (" 5", 5), ("+5", 5), ("4294967295", 4294967295), ("007", 7),
        ("4294967296", None), ("0", None), ("-1", None), ("", None), ("+", None), ("5 ", None),
        ("\u00b2", None), ("1.5", None), ("0x5", None),
    ],
)  # fmt: skip
def test_time_limits_are_read_as_open_vswitch_reads_them(text: str, seconds: int | None) -> None:
    assert time_limit(text) == seconds
