"""What the kernel must have for the programs, and what is said when it has not."""

from __future__ import annotations

import pytest
from tests.support.kernel_programs import require_programs

from netloom.base.errors import Unsupported
from netloom.datapath.ebpf import probes
from netloom.datapath.ebpf.loader import load

pytestmark = pytest.mark.root


def test_a_kernel_that_runs_the_programs_has_all_that_they_need() -> None:
    require_programs()
    assert probes.missing() == []
    assert [title for title, is_there in probes.features() if not is_there] in (
        [],
        ["eBPF links to devices (tcx)"],
    )


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr("netloom.datapath.ebpf.loader.map_create", refuse)
    monkeypatch.setattr("netloom.datapath.ebpf.probes.map_create", refuse)
    with pytest.raises(Unsupported, match=r"no eBPF arrays in shared memory, .*eBPF ring buffers"):
        load()
