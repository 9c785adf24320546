"""What `Open_vSwitch.statistics` tells of the machine (other_config:enable-statistics): processors,
load, memory, the daemons of this run directory, local file systems. Read from /proc, as proc(5) has
it; units are those of ovs-vswitchd.conf.db(5), kilobytes and milliseconds. What cannot be read is
left out.

Some ten small files are read at a time, a fraction of a millisecond each.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import NamedTuple

#: struct flock: type, whence, start, length, process.
_LOCK = Struct("hhqqi4x")
_PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1_024


class Process(NamedTuple):
    """What /proc/PID/stat says: sizes in kilobytes, times in milliseconds, the start since
    boot; `processor` is the one that it last ran on."""

    name: str
    parent: int
    vsz: int
    rss: int
    cpu_ms: int
    start_ms: int
    processor: int


def read_host_statistics(rundir: str) -> dict[str, str]:
    """The whole column."""
    statistics = {"cpu": str(os.cpu_count() or 1)}
    statistics["load_average"] = ",".join(f"{load:.2f}" for load in os.getloadavg())
    statistics["memory"] = format_memory((_PROC / "meminfo").read_text())
    up_ms = int(float((_PROC / "uptime").read_text().split()[0]) * 1_000)
    for name, pid in _daemons(Path(rundir)):
        text = _describe(pid, up_ms)
        if text:
            statistics[f"process_{name}"] = text
    file_systems = " ".join(_file_systems((_PROC / "self/mounts").read_text()))
    if file_systems:
        statistics["file_systems"] = file_systems
    return statistics


def format_memory(meminfo: str) -> str:
    """All memory, what is in use, what of that could be had; all swap space, what is in use."""
    sizes = {}
    for line in meminfo.splitlines():
        name, _, value = line.partition(":")
        sizes[name] = int(value.split()[0]) if value.split() else 0
    total, swap = sizes.get("MemTotal", 0), sizes.get("SwapTotal", 0)
    used = total - sizes.get("MemFree", 0)
    spare = sizes.get("Buffers", 0) + sizes.get("Cached", 0)
    return f"{total},{used},{spare},{swap},{swap - sizes.get('SwapFree', 0)}"


def parse_process(stat: str) -> Process:
    """The contents of /proc/PID/stat; the name may hold blanks and parentheses."""
    name = stat[stat.index("(") + 1 : stat.rindex(")")]
    words = stat[stat.rindex(")") + 2 :].split()
    ticks_to_ms = 1_000 / _TICKS_PER_S
    return Process(
        name=name,
        parent=int(words[1]),
        vsz=int(words[20]) // 1_024,
        rss=int(words[21]) * _PAGE_KB,
        cpu_ms=int((int(words[11]) + int(words[12])) * ticks_to_ms),
        start_ms=int(int(words[19]) * ticks_to_ms),
        processor=int(words[36]),
    )


def count_crashes(command_line: bytes) -> int:
    """How often a monitor has started its daemon again, as it says in its command line."""
    before = command_line.decode(errors="replace").partition(" crashes")[0]
    count = before.rpartition("(")[2]
    return int(count) if before and count.isdigit() else 0


def _read_process(pid: int) -> Process | None:
    try:
        return parse_process((_PROC / str(pid) / "stat").read_text())
    except (OSError, ValueError, IndexError):
        # It has ended.
        return None


def _describe(pid: int, up_ms: int) -> str:
    process = _read_process(pid)
    if process is None:
        return ""
    crashes, started_ms = 0, process.start_ms
    parent = _read_process(process.parent)
    if parent is not None and parent.name == process.name:
        # Its monitor, which has been there from the start.
        started_ms = parent.start_ms
        crashes = count_crashes(_command_line(process.parent))
    since_start, running = up_ms - started_ms, up_ms - process.start_ms
    return (
        f"{process.vsz},{process.rss},{process.cpu_ms},{crashes},{max(since_start, 0)},"
        f"{max(running, 0)},{process.processor}"
    )


def _command_line(pid: int) -> bytes:
    try:
        return (_PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        # It has just ended.
        return b""


def _daemons(rundir: Path) -> Iterator[tuple[str, int]]:
    """(name, process) of those whose pidfile is locked."""
    for path in sorted(rundir.glob("*.pid")):
        pid = _holder(path)
        if pid:
            yield path.stem, pid


def _holder(pidfile: Path) -> int:
    """The process that has locked the file; 0 if nobody has."""
    try:
        text = pidfile.read_text().strip()
        if text == str(os.getpid()):
            # A process does not see its own lock.
            return os.getpid()
        with pidfile.open("r+b") as file:
            asked = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            kind, _, _, _, pid = _LOCK.unpack(fcntl.fcntl(file, fcntl.F_GETLK, asked))
    except OSError:
        return 0
    return int(pid) if kind != fcntl.F_UNLCK else 0


def _file_systems(mounts: str) -> Iterator[str]:
    """Mount point, size and use of the local file systems that can be written."""
    seen = set()
    for line in mounts.splitlines():
        _, point, kind, options, *_ = line.split()
        if kind in _NOT_LOCAL or "ro" in options.split(",") or point in seen:
            continue
        seen.add(point)
        where = point.replace("\\040", " ")
        try:
            found = os.statvfs(where)
        except OSError:
            # It is gone, or not ours to look at.
            continue
        if not found.f_blocks or found.f_flag & os.ST_RDONLY:
            continue
        size_kb = found.f_frsize * found.f_blocks // 1_024
        used_kb = found.f_frsize * (found.f_blocks - found.f_bfree) // 1_024
        yield f"{where.replace(' ', '_').replace(',', '_')},{size_kb},{used_kb}"


#: Kinds of file systems that hold no data of this machine.
_NOT_LOCAL = frozenset({
    "afs", "autofs", "binfmt_misc", "cgroup", "cgroup2", "cifs", "coda", "configfs", "debugfs",
    "devfs", "devpts", "devtmpfs", "ftpfs", "fusectl", "mfs", "mqueue", "ncpfs", "nfs", "nfs4",
    "nfsd", "none", "proc", "pstore", "rpc_pipefs", "securityfs", "smbfs", "sysfs", "tmpfs",
    "tracefs", "usbdevfs", "usbfs",
})  # fmt: skip
