"""A lab for each test: namespaces, a switch, virtual machines; all gone afterwards.

Every test with a lab runs twice: `system` bridges are served by the kernel data path, and by the
one in user space.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.kernel_programs import require_programs
from tests.support.leftovers import mark, traces
from tests.support.peers import wait_until
from tests.support.switches import own_tools

from netloom.lab.lab import Lab
from netloom.lab.switch import Programs

CHOICE = "NETLOOM_SYSTEM_DATAPATH"


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Labs leave no process, namespace, directory or pinned map behind; those that do fail the
    session's last test."""
    mark()
    before = traces()
    yield
    # What was told to end at the very last may still be about it.
    assert wait_until(lambda: not traces().since(before)), "\n".join(traces().since(before))


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    """The tools of this checkout."""
    return own_tools(Path(tmp_path_factory.mktemp("tools")))


@pytest.fixture(params=["kernel", "userspace"])
def datapath(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What serves `system` bridges; the daemons of the test inherit it."""
    chosen: str = request.param
    if chosen == "kernel":
        require_programs()
    monkeypatch.setenv(CHOICE, chosen)
    return chosen


@pytest.fixture
def lab(request: pytest.FixtureRequest, datapath: str) -> Iterator[Lab]:
    """An empty lab; its directory's name stays short, as socket paths must."""
    with Lab(f"t{abs(hash(request.node.name)) % 10_000}") as made:
        yield made
