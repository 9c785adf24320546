"""What the database is told of the machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from netloom.programs.host_statistics import (
    count_crashes,
    format_memory,
    parse_process,
    read_host_statistics,
)

MEMINFO = """\
MemTotal:        1000 kB
MemFree:          200 kB
MemAvailable:     700 kB
Buffers:           30 kB
Cached:           270 kB
SwapTotal:        500 kB
SwapFree:         490 kB
"""
STAT = (
    "77 (odd (name) x) S 5 77 77 0 -1 4194304 900 0 0 0 150 50 0 0 20 0 1 0 12345 8192000 300 "
    "18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0"
)


def test_memory_is_total_used_spare_and_swap() -> None:
    assert format_memory(MEMINFO) == "1000,800,300,500,10"
    assert format_memory("") == "0,0,0,0,0"


def test_a_process_is_read_whatever_its_name() -> None:
    process = parse_process(STAT)
    ticks = os.sysconf("SC_CLK_TCK")
    assert (process.name, process.parent) == ("odd (name) x", 5)
    assert process.vsz == 8000
    assert process.rss == 300 * os.sysconf("SC_PAGE_SIZE") // 1024
    assert process.cpu_ms == 200 * 1000 // ticks
    assert process.processor == 1
    assert process.start_ms == 12345 * 1000 // ticks


@pytest.mark.parametrize(
    ("command_line", "crashes"),
    [
        (b"ovs-vswitchd: monitoring pid 12 (3 crashes: pid 9 died, killed (Aborted))\0", 3),
        (b"ovs-vswitchd: monitoring pid 12 (healthy)\0", 0),
        (b"", 0),
    ],
)
def test_a_monitor_tells_of_crashes(command_line: bytes, crashes: int) -> None:
    assert count_crashes(command_line) == crashes


def test_this_machine_has_all_but_daemons(tmp_path: Path) -> None:
    (tmp_path / "gone.pid").write_text("999999999\n")
    statistics = read_host_statistics(str(tmp_path))
    assert int(statistics["cpu"]) >= 1
    assert len(statistics["load_average"].split(",")) == 3
    assert len(statistics["memory"].split(",")) == 5
    assert not [key for key in statistics if key.startswith("process_")]


def test_a_daemon_is_one_that_holds_its_pidfile(tmp_path: Path) -> None:
    (tmp_path / "ovs-self.pid").write_text(f"{os.getpid()}\n")
    numbers = read_host_statistics(str(tmp_path))["process_ovs-self"].split(",")
    assert len(numbers) == 7
    assert int(numbers[1]) > 0
    assert numbers[3] == "0"
