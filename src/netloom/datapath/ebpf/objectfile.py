"""The compiled object, taken apart: functions with their relocations, and types for the verifier.

A small linker: a program is its entry function with all that it calls behind it, and nothing else
(the verifier refuses code that nobody reaches). References to maps become descriptors, calls become
distances. Types (BTF) are needed for the functions' prototypes only: what describes variables,
which would want addresses, is replaced by a placeholder.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from struct import Struct, pack_into, unpack_from
from struct import error as StructError
from typing import Any, NamedTuple

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from netloom.base.errors import Unsupported
from netloom.base.log import get_logger
from netloom.datapath.ebpf.spec import VALUE_SUFFIX

log = get_logger("dpif_netlink")
INSTRUCTION = 8
_LOAD_64, _CALL = 0x18, 0x85
_PSEUDO_MAP, _PSEUDO_VALUE, _PSEUDO_CALL = 1, 2, 1
_MAPS, _TEXT, _ENTRIES = "maps", ".text", "tc"

# Kinds of BTF types (Documentation/bpf/btf.rst) and the bytes behind their common header.
_KIND_INT, _KIND_VAR, _KIND_DATASEC, _KIND_PTR = 1, 14, 15, 2
_FIXED = {1: 4, 2: 0, 3: 12, 7: 0, 8: 0, 9: 0, 10: 0, 11: 0, 12: 0, 14: 4, 16: 0, 17: 4, 18: 0}
_PER_MEMBER = {4: 12, 5: 12, 6: 8, 13: 8, 15: 12, 19: 12}
_BTF_HEADER = Struct("<HBBIIIII")
_TYPE = Struct("<III")


class Relocation(NamedTuple):
    """At byte `offset` of its function: a reference to the map or function `name`."""

    offset: int
    name: str


class Function(NamedTuple):
    """Code of one function; `type_id` is that of its BTF type."""

    name: str
    code: bytes
    relocations: tuple[Relocation, ...]
    type_id: int


class ObjectFile:
    """What is in the object at `path`. Raises Unsupported if that is not what it should be."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._read(path)
        except (ELFError, KeyError, StructError) as error:
            raise self._unfit(path, f"{type(error).__name__}: {error}") from None

    @staticmethod
    def _unfit(path: Path, why: str) -> Unsupported:
        log.warn("%s: %s", path, why)
        return Unsupported(
            "the eBPF programs are damaged or not of this version; build them again", "object"
        )

    def _read(self, path: Path) -> None:
        with path.open("rb") as stream:
            elf = ELFFile(stream)
            sections: dict[str, Any] = {section.name: section for section in elf.iter_sections()}
            self.btf = _without_variables(sections[".BTF"].data())
            types = _function_types(sections[".BTF"].data(), sections[".BTF.ext"].data())
            symbols = list(sections[".symtab"].iter_symbols())
            names = {index: section.name for index, section in enumerate(elf.iter_sections())}
            self.functions: dict[str, Function] = {}
            for section_name in (_TEXT, _ENTRIES):
                relocations = _relocations(sections.get(f".rel{section_name}"), symbols)
                code = sections[section_name].data()
                for symbol in symbols:
                    index = symbol["st_shndx"]
                    is_function = symbol["st_info"]["type"] == "STT_FUNC"
                    if is_function and names.get(index) == section_name:
                        start, size = symbol["st_value"], symbol["st_size"]
                        self.functions[symbol.name] = Function(
                            symbol.name,
                            code[start : start + size],
                            tuple(
                                Relocation(offset - start, name)
                                for offset, name in relocations
                                if start <= offset < start + size
                            ),
                            types[section_name, start],
                        )
            self.maps = [
                symbol.name for symbol in symbols if names.get(symbol["st_shndx"]) == _MAPS
            ]

    def link(self, entry: str, maps: Mapping[str, int]) -> tuple[bytes, bytes]:
        """The code of program `entry` with everything it calls, references to `maps` (name ->
        descriptor) filled in; and the records of its functions."""
        if entry not in self.functions:
            raise self._unfit(self._path, f"no program {entry}")
        order = self._reachable(entry)
        starts: dict[str, int] = {}
        size = 0
        for function in order:
            starts[function.name] = size
            size += len(function.code)
        code = bytearray(b"".join(function.code for function in order))
        for function in order:
            for relocation in function.relocations:
                at = starts[function.name] + relocation.offset
                if code[at] == _LOAD_64:
                    _refer_to_map(code, at, relocation.name, maps)
                else:
                    assert code[at] == _CALL
                    distance = (starts[relocation.name] - at) // INSTRUCTION - 1
                    code[at + 1] = code[at + 1] & 0x0F | _PSEUDO_CALL << 4
                    pack_into("<i", code, at + 4, distance)
        infos = b"".join(
            Struct("<II").pack(starts[function.name] // INSTRUCTION, function.type_id)
            for function in order
        )
        return bytes(code), infos

    def _reachable(self, entry: str) -> list[Function]:
        found = [self.functions[entry]]
        for function in found:
            for relocation in function.relocations:
                callee = self.functions.get(relocation.name)
                if callee is not None and callee not in found:
                    found.append(callee)
        return found


def _refer_to_map(code: bytearray, at: int, name: str, maps: Mapping[str, int]) -> None:
    """Make the wide load at `at` one of a map's descriptor; or of the address of its value, to
    which the compiler may have added something."""
    kind = _PSEUDO_MAP if name in maps else _PSEUDO_VALUE
    code[at + 1] = code[at + 1] & 0x0F | kind << 4
    if kind == _PSEUDO_VALUE:
        code[at + 12 : at + 16] = code[at + 4 : at + 8]
    pack_into("<i", code, at + 4, maps[name.removesuffix(VALUE_SUFFIX)])


def _relocations(section: Any, symbols: list[Any]) -> list[tuple[int, str]]:
    if section is None:
        return []
    return [
        (row["r_offset"], symbols[row["r_info_sym"]].name) for row in section.iter_relocations()
    ]


def _types(btf: bytes) -> list[tuple[int, int, int, bytes]]:
    """(name, info, size or type, rest) of every type; number 1 is the first."""
    _, _, _, header, type_at, type_size, _, _ = _BTF_HEADER.unpack_from(btf)
    at, end = header + type_at, header + type_at + type_size
    types = []
    while at < end:
        name, info, size = _TYPE.unpack_from(btf, at)
        at += _TYPE.size
        kind = info >> 24 & 0x1F
        rest = _PER_MEMBER[kind] * (info & 0xFFFF) if kind in _PER_MEMBER else _FIXED[kind]
        types.append((name, info, size, btf[at : at + rest]))
        at += rest
    return types


def _without_variables(btf: bytes) -> bytes:
    """The BTF with each variable or section of them replaced by `void *`."""
    _, _, _, header, _, _, strings_at, strings_size = _BTF_HEADER.unpack_from(btf)
    strings = btf[header + strings_at : header + strings_at + strings_size]
    body = b"".join(
        _TYPE.pack(0, _KIND_PTR << 24, 0)
        if info >> 24 & 0x1F in (_KIND_VAR, _KIND_DATASEC)
        else _TYPE.pack(name, info, size) + rest
        for name, info, size, rest in _types(btf)
    )
    head = _BTF_HEADER.pack(0xEB9F, 1, 0, _BTF_HEADER.size, 0, len(body), len(body), len(strings))
    return head + body + strings


def _function_types(btf: bytes, ext: bytes) -> dict[tuple[str, int], int]:
    """(section, byte offset) of every function -> its BTF type."""
    _, _, _, header, _, _, strings_at, _ = _BTF_HEADER.unpack_from(btf)
    strings = header + strings_at
    _, _, _, ext_header, info_at, info_size = unpack_from("<HBBIII", ext)
    at = ext_header + info_at
    end = at + info_size
    (record,) = unpack_from("<I", ext, at)
    at += 4
    types = {}
    while at < end:
        name, count = unpack_from("<II", ext, at)
        at += 8
        start = strings + name
        section = btf[start : btf.index(b"\0", start)].decode()
        for _ in range(count):
            offset, type_id = unpack_from("<II", ext, at)
            types[section, offset] = type_id
            at += record
    return types
