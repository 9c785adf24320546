"""What holds for every test.

Tests run the sources. With `NETLOOM_TESTS=compiled` in the environment they run the hot modules
compiled, as installed daemons do; `tests/unit/programs/test_compiled_modules.py` has some do so.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from types import FrameType

import pytest
from hypothesis import HealthCheck, settings

from netloom.base.log import vlog
from netloom.programs.compiled import activate

OWN = os.getpid()
# Properties are tried with the same examples each time, however long they take: what one run has
# shown the next shows too. NETLOOM_EXPLORE=1 looks at others.
settings.register_profile(
    "netloom",
    derandomize=not os.environ.get("NETLOOM_EXPLORE"),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("netloom")
if os.environ.get("NETLOOM_TESTS") == "compiled":
    reason = activate()
    assert not reason, reason


def pytest_configure() -> None:
    """SIGTERM ends the tests as Ctrl-C does: what they have started and made goes with them."""
    signal.signal(signal.SIGTERM, _interrupted)


def _interrupted(number: int, frame: FrameType | None) -> None:
    if os.getpid() == OWN:
        raise KeyboardInterrupt
    # A process that a test forked.
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Tell `tools/run_tests.py` which test failed, and whether other programs or real packets had a
    part in it. What a test leaves behind is nobody else's fault."""
    file = os.environ.get("NETLOOM_TEST_FAILURES")
    if not file or not report.failed:
        return
    has_company = "interop" in report.keywords or "root" in report.keywords
    is_repeatable = has_company and report.when != "teardown"
    with open(file, "a") as failures:
        failures.write(json.dumps({"name": report.nodeid, "is_repeatable": is_repeatable}) + "\n")


@pytest.fixture(autouse=True)
def levels_stay_as_they_were() -> Iterator[None]:
    """Logging is the one state that a process shares: a test that runs a program with `-v` must
    not silence the next."""
    before = vlog.levels()
    yield
    vlog.set_levels(before)
