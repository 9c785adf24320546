"""Look for worlds in which our switch and Debian's differ, and make them small.

    tools/random_worlds.py 100 200          seeds 100 to 199
    tools/random_worlds.py FILE             the lines of a file, as printed before

Each seed is a random world (tests/support/random_world.py) that both switches live through; for
each kind of line that shows a difference the world is made small and printed. `--no-shrink` prints
the difference only.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests/interop")]

from tests.support.peers import wait_until  # noqa: E402
from tests.support.random_frames import world_of  # noqa: E402
from tests.support.shrinking import Shows, fewer_lines, shorter_lines  # noqa: E402
from tests.support.world_sides import Different, Pair, peer_sides  # noqa: E402

OURS = (sys.executable, "-m", "netloom.programs.vswitchd")


def main() -> None:
    """Look through the seeds."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("what", nargs="+", help="FIRST LAST, or a file")
    options.add_argument("--no-shrink", action="store_true")
    options.add_argument("--steps", type=int, default=25, help="traces and frames of each world")
    args = options.parse_args()
    if args.what[0].isdigit():
        worlds = [(n, world_of(n, args.steps, args.steps)) for n in range(*map(int, args.what))]
    else:
        worlds = [(0, Path(args.what[0]).read_text().splitlines())]
    with tempfile.TemporaryDirectory() as base:
        search = Search(Path(base), not args.no_shrink)
        for number, lines in worlds:
            search.look(number, lines)
        search.pair.theirs.close()
        search.pair.ours.close()


class Search:
    """Two switches, started again whenever one of them ends."""

    def __init__(self, base: Path, shrinks: bool) -> None:
        self._base = base
        self._shrinks = shrinks
        self._starts = 0
        self.pair: Pair = self._start()

    def _start(self) -> Pair:
        self._starts += 1
        return peer_sides(self._base / str(self._starts), OURS)

    def differences(self, lines: list[str], wanted: str = "") -> list[Different]:
        """What differs, until a difference of a kind is found that is `wanted`. A switch that
        ended is started again."""

        def enough(found: list[Different]) -> bool:
            return kind_of(found[-1]) == wanted if found else False

        totals = "/" in wanted or "-" in wanted or not wanted
        try:
            return self.pair.differences(lines, enough=enough, with_totals=totals)
        except (OSError, AssertionError) as error:
            wait_until(lambda: not all(side.switch.is_alive() for side in self.pair), 2)
            alive = [side.switch.is_alive() for side in self.pair]
            if isinstance(error, TimeoutError):
                alive = [side.is_idle() for side in self.pair]
            tail = self.pair.ours.switch.errors()[-2000:]
            for side in self.pair:
                side.close()
            self.pair = self._start()
            who = {(True, True): "nobody", (False, True): "theirs", (True, False): "ours"}
            return [Different(f"ended: {who.get(tuple(alive), 'both')}", f"{error!r:.300}", tail)]

    def look(self, number: int, lines: list[str]) -> None:
        """One world."""
        found = self.differences(lines)
        heads = [seen.line for seen in found if seen.line.startswith("ended")]
        print(f"=== seed {number}: {len(found)} differences", *heads, flush=True)
        seen_kinds = set()
        for seen in found:
            kind = kind_of(seen)
            if kind in seen_kinds or "theirs" in kind:
                continue
            seen_kinds.add(kind)
            self._report(lines, seen, kind)

    def _report(self, lines: list[str], seen: Different, kind: str) -> None:
        def shows(attempt: list[str]) -> bool:
            return any(kind_of(other) == kind for other in self.differences(attempt, kind))

        if self._shrinks:
            steps = ("trace ", "packet-out ", "receive ")
            alone = [line for line in lines if not line.startswith(steps) or line == seen.line]
            lines = alone if shows(alone) else lines
            # As long as the ports stay, an attempt costs little.
            for is_setup in (False, True, False):
                lines = part_shrunk(lines, shows, is_setup)
            again = [other for other in self.differences(lines, kind) if kind_of(other) == kind]
            seen = again[0] if again else seen
            print("\n".join(lines))
        print(f"--- {kind}: {seen}", flush=True)


def part_shrunk(lines: list[str], shows: Shows, is_setup: bool) -> list[str]:
    """`lines` with less in those of ovs-vsctl, or in the others."""
    setup = [line for line in lines if line.startswith("vsctl ")]
    rest = [line for line in lines if not line.startswith("vsctl ")]

    def whole(part: list[str]) -> list[str]:
        return part + rest if is_setup else setup + part

    def part_shows(part: list[str]) -> bool:
        return shows(whole(part))

    part = fewer_lines(setup if is_setup else rest, part_shows)
    return whole(shorter_lines(part, part_shows, "type|ofport"))


def kind_of(seen: Different) -> str:
    """What kind of difference it is: two of one kind have one cause, mostly."""
    words = re.split(r"[ ]", seen.line)
    if words[0] in ("ofctl", "appctl"):
        return " ".join(word for word in words[:3] if "/" in word or "-" in word)
    return seen.line if words[0].startswith("ended") else words[0]


if __name__ == "__main__":
    main()
