"""Command-line options as GNU getopt_long reads them, from one table per program.

    OPTIONS = (Option("timeout", REQUIRED, "t"), Option("help", short="h"), ...)
    options = Getopt("ovs-vsctl", argv, OPTIONS, stop_at_operand=True)
    for key, value in options:          # one at a time, as options take effect in order
        match key: ...
    command = options.operands

Long options may be abbreviated to any unambiguous prefix, short ones clustered (`-ab`), a value
follows as `--name=value`, `--name value`, `-nvalue` or `-n value` (an optional value only in the
forms with `=` or without a space), `--` ends the options. With `stop_at_operand` the first operand
ends them too; otherwise options and operands mix, unless POSIXLY_CORRECT is set. Iterating raises
`UsageError` with the text that the C library prints; a program prints it and exits with status 1.
"""

from __future__ import annotations

from .environment import variable
from .errors import NetloomError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NO, REQUIRED, OPTIONAL = range(3)


class UsageError(NetloomError):
    """The command line is wrong; the text begins with the program's name."""


class Option:
    """One row of a program's option table.

    `name` is the long name (may be empty), `short` the letter (may be empty), `argument` one of
    NO, REQUIRED, OPTIONAL. `key` is what iteration yields: the long name if there is one, unless
    given (several spellings of one option share a key).
    """

    __slots__ = ("argument", "key", "name", "short")

    def __init__(self, name: str, argument: int = NO, short: str = "", key: str = "") -> None:
        assert name or short
        self.name = name
        self.argument = argument
        self.short = short
        self.key = key or name or short


class Getopt:
    """Iterator over (key, value or None); `operands` is complete once it is exhausted."""

    def __init__(
        self,
        program: str,
        argv: Sequence[str],
        options: Sequence[Option],
        *,
        stop_at_operand: bool = False,
    ) -> None:
        self._program = program
        self._args = list(argv)
        self._options = options
        self._stop = stop_at_operand or variable("POSIXLY_CORRECT") is not None
        self.operands: list[str] = []

    def __iter__(self) -> Iterator[tuple[str, str | None]]:
        args = self._args
        while args:
            word = args.pop(0)
            if word == "--":
                break
            if word.startswith("--"):
                yield self._long(word)
            elif word.startswith("-") and word != "-":
                yield from self._cluster(word)
            elif self._stop:
                args.insert(0, word)
                break
            else:
                self.operands.append(word)
        self.operands += args
        args.clear()

    def _fail(self, message: str) -> UsageError:
        return UsageError(f"{self._program}: {message}")

    def _find(self, word: str) -> Option:
        """The option that `--name` or an unambiguous prefix of it means."""
        name = word[2:].split("=", 1)[0]
        candidates = [o for o in self._options if o.name and o.name.startswith(name)]
        for option in candidates:
            if option.name == name:
                return option
        if not candidates:
            raise self._fail(f"unrecognized option '{word}'")
        if len({(o.key, o.argument) for o in candidates}) > 1:
            possibilities = "".join(f" '--{o.name}'" for o in candidates)
            raise self._fail(f"option '{word}' is ambiguous; possibilities:{possibilities}")
        return candidates[0]

    def _long(self, word: str) -> tuple[str, str | None]:
        option = self._find(word)
        _, equals, value = word.partition("=")
        if equals:
            if option.argument == NO:
                raise self._fail(f"option '--{option.name}' doesn't allow an argument")
            return option.key, value
        if option.argument == REQUIRED:
            if not self._args:
                raise self._fail(f"option '--{option.name}' requires an argument")
            return option.key, self._args.pop(0)
        return option.key, None

    def _cluster(self, word: str) -> Iterator[tuple[str, str | None]]:
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            option = next((o for o in self._options if o.short == letter), None)
            if option is None:
                raise self._fail(f"invalid option -- '{letter}'")
            if option.argument == NO:
                yield option.key, None
                continue
            if option.argument == REQUIRED and not letters:
                if not self._args:
                    raise self._fail(f"option requires an argument -- '{letter}'")
                letters = self._args.pop(0)
                yield option.key, letters
                return
            yield option.key, letters or None
            return


#: What C's unsigned int holds.
_MAX_SECONDS, _MAX_DIGITS = 2**32 - 1, 10


def time_limit(text: str) -> int | None:
    """The seconds that the value of a time-out option says, with space or a plus before them as C's
    strtoll reads numbers; None if it says none."""
    digits = text.lstrip(" \t\n\v\f\r").removeprefix("+").lstrip("0")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > _MAX_DIGITS:
        return None
    return int(digits) if int(digits) <= _MAX_SECONDS else None


def format_options(options: Sequence[Option]) -> str:
    """The table as `--option` prints it: long and short names, `ARG` or `[ARG]`."""
    lines = []
    for option in options:
        if option.name:
            lines.append(f"--{option.name}{('', '=ARG', '=[ARG]')[option.argument]}")
        if option.short:
            lines.append(f"-{option.short} {('', 'ARG', '[ARG]')[option.argument]}")
    return "".join(f"{line}\n" for line in lines)
