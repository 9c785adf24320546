"""Loading the object: maps made or found again, programs linked to them and verified.

Nothing here lifts RLIMIT_MEMLOCK: since Linux 5.11 the memory of maps is accounted to the control
group instead, so the right to do so is not needed.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from struct import pack

from netloom.base.errors import Unsupported
from netloom.base.log import get_logger
from netloom.datapath.ebpf.pins import PinDirectory
from netloom.datapath.ebpf.probes import is_permitted, missing
from netloom.datapath.ebpf.spec import MAPS, PROGRAMS
from netloom.datapath.ebpf.syscall import (
    MAP_UPDATE,
    Refused,
    address,
    bpf,
    btf_load,
    map_create,
    prog_load,
)

log = get_logger("dpif_netlink")

#: The object file, beside this module.
OBJECT = Path(__file__).with_name("datapath.bpf.o")


class Loaded:
    """Descriptors of one data path's maps and programs."""

    def __init__(self, maps: dict[str, int], programs: dict[str, int]) -> None:
        self.maps = maps
        self.programs = programs

    def close(self) -> None:
        """Let go of them; what is pinned or attached stays in the kernel."""
        for fd in (*self.maps.values(), *self.programs.values()):
            os.close(fd)
        self.maps.clear()
        self.programs.clear()


def load(maps: dict[str, int] | None = None, path: Path = OBJECT) -> Loaded:
    """Load all programs, with `maps` (name -> descriptor) or new ones.

    Raises Unsupported with the kernel's reason; what the verifier said goes to the log, whole."""
    try:
        from netloom.datapath.ebpf.objectfile import ObjectFile
    except ModuleNotFoundError as error:
        raise Unsupported(f"the Python package {error.name} is missing", "elf") from error
    if not path.exists():
        raise Unsupported("the eBPF programs were not built with this installation", "object")
    held = dict(maps or {})
    btf = -1
    programs: dict[str, int] = {}
    try:
        for spec in MAPS:
            if spec.name not in held:
                held[spec.name] = map_create(
                    spec.type, spec.key_size, spec.value_size, spec.max_entries, spec.flags,
                    f"nl_{spec.name}",
                )  # fmt: skip
        object_ = ObjectFile(path)
        btf = btf_load(object_.btf)
        for name in PROGRAMS:
            code, functions = object_.link(name, held)
            programs[name] = prog_load(name, code, btf, functions)
        _fill_tail_calls(held["programs"], programs)
    except Unsupported:
        Loaded(held, programs).close()
        raise
    except OSError as error:
        Loaded(held, programs).close()
        if isinstance(error, Refused):
            log.err("%s", error.log)
        raise Unsupported(_why_refused(error), "load") from error
    finally:
        if btf >= 0:
            os.close(btf)
    return Loaded(held, programs)


def _why_refused(error: OSError) -> str:
    if not is_permitted():
        return "no right to use eBPF (CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN, or CAP_SYS_ADMIN)"
    reason = ", ".join(missing())
    return f"this kernel has no {reason}" if reason else f"{error.strerror}"


def _fill_tail_calls(table: int, programs: dict[str, int]) -> None:
    for number, name in enumerate(PROGRAMS):
        key = ctypes.create_string_buffer(number.to_bytes(4, "little"), 4)
        value = ctypes.create_string_buffer(programs[name].to_bytes(4, "little"), 4)
        bpf(MAP_UPDATE, pack("<IIQQQ", table, 0, address(key), address(value), 0))


def load_pinned(pins: PinDirectory) -> Loaded:
    """Load the programs over the maps that an earlier daemon left; or over new ones, pinned."""
    found = pins.find_maps()
    loaded = load(found)
    if not found:
        try:
            pins.keep_maps(loaded.maps)
        except OSError as error:
            loaded.close()
            raise Unsupported(f"cannot pin maps ({error.strerror})", "bpffs") from error
    return loaded
