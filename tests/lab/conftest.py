"""A lab for each test: namespaces, a switch, virtual machines; all gone afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.switches import own_tools

from netloom.lab.lab import Lab
from netloom.lab.switch import Programs


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    """The tools of this checkout."""
    return own_tools(Path(tmp_path_factory.mktemp("tools")))


@pytest.fixture
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """An empty lab; its directory's name stays short, as socket paths must."""
    with Lab(f"t{abs(hash(request.node.name)) % 10_000}") as made:
        yield made
