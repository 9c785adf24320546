"""What Open vSwitch's test suite prints is read as it is meant."""

from __future__ import annotations

import pytest
from tests.interop.ovs_suite_runs import Case, known_failures, report, results, wanted

TESTS = (Case(7, "learn", "learning action"), Case(8, "bridge", "two bridges (here)"))
PRINTED = """\
## ----------- ##

learn

  7: learning action                                 ok
  8: two bridges (here)                              FAILED (bridge.at:23)
 19: needs a kernel                                  skipped (bridge.at:9)
 20: is broken                                       expected failure (bridge.at:70)
"""


def test_ends_of_tests_are_read() -> None:
    assert dict(results(PRINTED.splitlines())) == {
        7: "ok", 8: "FAILED", 19: "skipped", 20: "expected failure"
    }  # fmt: skip


def test_files_and_numbers_choose_tests() -> None:
    assert wanted(TESTS, ("bridge.at",)) == [TESTS[1]]
    assert wanted(TESTS, ("7", "bridge")) == list(TESTS)
    assert wanted(TESTS, ("7-8",)) == list(TESTS)
    with pytest.raises(SystemExit, match="no such tests: 9"):
        wanted(TESTS, ("9", "learn"))


def test_what_fails_with_ours_alone_counts(capsys: pytest.CaptureFixture[str]) -> None:
    ended = {7: "ok", 8: "FAILED"}
    assert TESTS[1].name not in known_failures()
    assert report(TESTS, ended, {8: "ok"}) == 1
    assert "NEW: bridge: two bridges (here)" in capsys.readouterr().out
    assert report(TESTS, ended, {8: "FAILED"}) == 0
    assert "1 failed, 0 of them with ours alone" in capsys.readouterr().out
