"""The cores of a machine, read from a directory like /sys/devices/system."""

from __future__ import annotations

import os
from pathlib import Path

from netloom.datapath.userspace.cores import Core
from netloom.programs.host_cores import read_cores


def make(system: Path, nodes: dict[int, tuple[int, ...]], off_line: tuple[int, ...] = ()) -> None:
    for node, cores in nodes.items():
        for core in cores:
            (system / f"node/node{node}/cpu{core}").mkdir(parents=True)
            if core not in off_line:
                topology = system / f"cpu/cpu{core}/topology"
                topology.mkdir(parents=True)
                (topology / "core_id").write_text("0")


def test_cores_have_their_nodes_and_those_off_line_are_left_out(tmp_path: Path) -> None:
    make(tmp_path, {0: (0, 2, 10), 1: (1, 3)}, off_line=(3,))
    (tmp_path / "node/node0/cpumap").write_text("1")
    (tmp_path / "node/online").write_text("0-1")
    assert read_cores(tmp_path) == (Core(0, 0), Core(1, 1), Core(2, 0), Core(10, 0))


def test_a_machine_without_numa_is_one_node(tmp_path: Path) -> None:
    make(tmp_path, {0: (0, 1)})
    (tmp_path / "node").rename(tmp_path / "other")
    (tmp_path / "cpu/cpufreq").mkdir()
    assert read_cores(tmp_path) == (Core(0, 0), Core(1, 0))


def test_this_machine_has_some() -> None:
    numbers = {core.number for core in read_cores()}
    assert os.sched_getaffinity(0) <= numbers
