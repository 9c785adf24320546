"""What holds for every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from netloom.base.log import vlog


@pytest.fixture(autouse=True)
def levels_stay_as_they_were() -> Iterator[None]:
    """Logging is the one state that a process shares: a test that runs a program with `-v` must
    not silence the next."""
    before = vlog.levels()
    yield
    vlog.set_levels(before)
