"""What holds for every test.

Tests run the sources. With `NETLOOM_TESTS=compiled` in the environment they run the hot modules
compiled, as installed daemons do; `tests/unit/programs/test_compiled_modules.py` has some do so.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from netloom.base.log import vlog
from netloom.programs.compiled import activate

if os.environ.get("NETLOOM_TESTS") == "compiled":
    reason = activate()
    assert not reason, reason


@pytest.fixture(autouse=True)
def levels_stay_as_they_were() -> Iterator[None]:
    """Logging is the one state that a process shares: a test that runs a program with `-v` must
    not silence the next."""
    before = vlog.levels()
    yield
    vlog.set_levels(before)
