"""`ovs-dpctl-top`: what goes by each port and address of a data path (ovs-dpctl-top(8))."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from datetime import timedelta

from netloom import OVS_VERSION
from netloom.programs.flow_summary import (
    ALL,
    COLUMNS,
    FIELDS,
    FlowSummary,
    format_sum,
    heading,
)
from netloom.programs.outcome import Fatal, outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    import curses

PROGRAM = "ovs-dpctl-top"
DUMP = ("ovs-dpctl", "dump-flows")
#: Seconds after which a flow that was not seen again is forgotten, while sums accumulate.
DEFAULT_DECAY_S = 5.0 * 60
DEFAULT_DELAY_MS = 1000

DESCRIPTION = """\
Shows how many flows, packets and bytes of a data path have each input port,
pair of addresses, Ethernet type, and destination port of TCP or UDP.

Keys, unless --script is given:
  a      let sums accumulate, or not
  s      sort by the next column
  space  ask for the flows now
  h      halt, until the next key
  f      show the next field only
  q      quit

With --script, flows come from a file or from standard input:
  ovs-dpctl dump-flows > dump-flows.log
  ovs-dpctl-top --script --flow-file dump-flows.log
"""


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        PROGRAM, description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("-v", "--version", action="version", version=OVS_VERSION, help="show version")
    add("-f", "--flow-file", dest="flowFiles", action="append", default=[],
        help="file containing flows from ovs-dpctl dump-flow")  # fmt: skip
    add("-V", "--verbose", action="store_true", help="enable debug level verbosity")
    add("-s", "--script", action="store_true", help="Run from a script (no user interface)")
    add("--host", help="Specify a user@host for retrieving flows, by ssh")
    add("-a", "--accumulate", action="store_true", help="Accumulate dump-flow content")
    add("--accumulate-decay", dest="accumulateDecay", type=float, default=DEFAULT_DECAY_S,
        help="Decay old accumulated flows. The default is 5 minutes. A value of 0 disables decay.",
        )  # fmt: skip
    add("-d", "--delay", type=int, default=DEFAULT_DELAY_MS,
        help="Delay in milliseconds to collect dump-flow content (sample rate).")  # fmt: skip
    return parser.parse_args(argv)


def add_lines(summary: FlowSummary, lines: Iterable[str], *, verbose: bool = False) -> None:
    """Count lines; what is no flow is named on standard error if that is wanted."""
    for line in lines:
        try:
            summary.add(line, time.monotonic())
        except ValueError as error:
            if verbose:
                sys.stderr.write(f"ERROR:root:{error}\n")


def duration_text(summary: FlowSummary) -> str:
    return str(timedelta(seconds=time.monotonic() - summary.begun_s))


def run_script(arguments: argparse.Namespace) -> int:
    """Print the sums over the flows of files, or of standard input."""
    summary = FlowSummary(time.monotonic())
    for name in arguments.flowFiles:
        if arguments.verbose:
            sys.stderr.write(f"INFO:root:reading flows from {name}\n")
        try:
            with open(name, encoding="utf-8", errors="surrogateescape") as file:
                add_lines(summary, file, verbose=arguments.verbose)
        except OSError as error:
            raise Fatal(f"{name}: {error.strerror}") from None
    if not arguments.flowFiles:
        add_lines(summary, sys.stdin, verbose=arguments.verbose)
    lines = heading(summary, arguments.accumulate, duration_text(summary), ALL, COLUMNS[0])
    for line in (*lines, *(format_sum(one) for one in summary.sums(ALL, COLUMNS[0]))):
        sys.stdout.write(line + "\n")
    return 0


class Top:
    """The view that keeps itself up to date. `dump` gives the lines of the data path's flows."""

    def __init__(
        self, dump: Callable[[], list[str]], *, accumulates: bool, decay_s: float, delay_ms: int
    ) -> None:
        self.accumulates = accumulates
        self.is_halted = False
        self.column = COLUMNS[0]
        self.field = ALL
        self._dump = dump
        self._decay_s = decay_s
        self._delay_ms = max(delay_ms, 1)
        self.summary = FlowSummary(time.monotonic())

    def sample(self) -> None:
        """Ask for the flows."""
        now_s = time.monotonic()
        if not self.accumulates:
            self.summary = FlowSummary(self.summary.begun_s)
        add_lines(self.summary, self._dump())
        if self.accumulates and self._decay_s:
            self.summary.forget(now_s - self._decay_s)

    def press(self, key: str) -> bool:
        """Do what a key stands for; False at the last."""
        if self.is_halted:
            self.is_halted = False
        elif key == "h":
            self.is_halted = True
        elif key == "a":
            self.accumulates = not self.accumulates
            self.summary = FlowSummary(time.monotonic())
        elif key == "s":
            self.column = COLUMNS[(COLUMNS.index(self.column) + 1) % len(COLUMNS)]
        elif key == "f":
            fields = (ALL, *FIELDS)
            self.field = fields[(fields.index(self.field) + 1) % len(fields)]
        return key != "q"

    def lines(self, width: int, height: int) -> list[str]:
        """What the screen shows."""
        duration = duration_text(self.summary)
        top = heading(self.summary, self.accumulates, duration, self.field, self.column, width)
        sums = self.summary.sums(self.field, self.column)
        shown = [*top, *(format_sum(one, width) for one in sums)][:height]
        if self.is_halted and len(shown) > 1:
            shown[1] = " Halted: any key goes on".ljust(width)
        return shown

    def run(self, screen: curses.window) -> int:
        """Show the sums and take keys, until the last."""
        import curses

        try:
            curses.curs_set(0)
        except curses.error:
            # This terminal's cursor is always seen.
            screen.leaveok(True)
        while True:
            if not self.is_halted:
                self.sample()
            height, width = screen.getmaxyx()
            screen.erase()
            for row, line in enumerate(self.lines(max(width - 1, 60), height - 1)):
                screen.addnstr(row, 0, line, width - 1)
            screen.refresh()
            screen.timeout(-1 if self.is_halted else self._delay_ms)
            key = screen.getch()
            if key >= 0 and not self.press(chr(key)):
                return 0


def dump_flows(host: str | None) -> list[str]:
    """The flows of this host's data path, or of another's."""
    command = ("ssh", host, *DUMP) if host else DUMP
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, errors="surrogateescape"
        )
    except OSError as error:
        raise Fatal(f"{command[0]}: {error.strerror}") from None
    except subprocess.CalledProcessError as error:
        raise Fatal(error.stderr.strip() or f"{command[0]} failed") from None
    return done.stdout.splitlines()


def run_top(arguments: argparse.Namespace) -> int:
    """Show the sums on the terminal until `q`."""
    import curses

    top = Top(
        lambda: dump_flows(arguments.host),
        accumulates=arguments.accumulate,
        decay_s=arguments.accumulateDecay,
        delay_ms=arguments.delay,
    )
    try:
        return curses.wrapper(top.run)
    except curses.error as error:
        raise Fatal(f"this is no terminal to draw on ({error}); see --script") from None
    except KeyboardInterrupt:
        return 0


def _run(argv: list[str]) -> int:
    arguments = parse_arguments(argv)
    return run_script(arguments) if arguments.script else run_top(arguments)


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv` (the first word is the program's name); the exit status."""
    return outcome(PROGRAM, _run, argv)


if __name__ == "__main__":
    sys.exit(main())
