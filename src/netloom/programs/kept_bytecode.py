"""Imports the package's modules from the bytecode that Python has kept of them, in fewer steps.

Python looks for a module in directories that it lists, asks several finders, and builds paths; a
tool of eighty modules waits 4 ms for that, a third of its time. This finder knows where a module of
the package must be. It opens `__pycache__/NAME.TAG.pyc`, and if that is of the source as it is now
(its time and size, as Python checks them), runs it.

What must hold: whoever imports the same module the usual way gets the same module. Where there is
no such file, or one of another kind (unchecked, or checked by a sum), the finder stands back and
Python does what it always does, which is also to write the file.
"""

from __future__ import annotations

import sys
from marshal import loads
from posix import O_CLOEXEC, O_RDONLY, close, fstat, open, read, stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec, SourceFileLoader
    from importlib.util import MAGIC_NUMBER
    from types import CodeType, ModuleType

    def _fix_co_filename(code: CodeType, path: str) -> None:
        """Python's own, for sources that were moved."""

else:
    # `importlib` would import what it is all about not to import.
    from _frozen_importlib import ModuleSpec
    from _frozen_importlib_external import MAGIC_NUMBER, SourceFileLoader
    from _imp import _fix_co_filename

#: Magic number, and flags of a file that is checked by time and size; these follow, then the code.
_HEAD = MAGIC_NUMBER + bytes(4)
_HEAD_BYTES = len(_HEAD) + 8


class _Loader(SourceFileLoader):
    """Python's own, whose work is half done."""

    def __init__(self, name: str, path: str, code: CodeType) -> None:
        super().__init__(name, path)
        self._code = code

    def get_code(self, fullname: str) -> CodeType | None:
        """The code that was found."""
        return self._code if fullname == self.name else super().get_code(fullname)


def _read(path: str) -> bytes:
    descriptor = open(path, O_RDONLY | O_CLOEXEC)
    try:
        return read(descriptor, fstat(descriptor).st_size)
    finally:
        close(descriptor)


def _kept_code(source: str, kept: str) -> CodeType | None:
    """The code in the file `kept`, if it is of `source` as that is now."""
    try:
        data = _read(kept)
        made_of = stat(source)
    except OSError:
        return None
    sum_ = (int(made_of.st_mtime) & 0xFFFFFFFF).to_bytes(4, "little")
    sum_ += (made_of.st_size & 0xFFFFFFFF).to_bytes(4, "little")
    if data[:_HEAD_BYTES] != _HEAD + sum_:
        return None
    code: CodeType = loads(memoryview(data)[_HEAD_BYTES:])
    _fix_co_filename(code, source)
    return code


class KeptBytecode:
    """A finder for `sys.meta_path`: of modules below `package`, a directory."""

    def __init__(self, package: str) -> None:
        self._above, _, name = package.rpartition("/")
        self._prefix = f"{name}."
        self._suffix = f".{sys.implementation.cache_tag}.pyc"

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not name.startswith(self._prefix):
            return None
        place = f"{self._above}/{name.replace('.', '/')}"
        directory, _, tail = place.rpartition("/")
        return self._spec(name, directory, tail) or self._spec(name, place, "__init__")

    def _spec(self, name: str, directory: str, tail: str) -> ModuleSpec | None:
        source = f"{directory}/{tail}.py"
        kept = f"{directory}/__pycache__/{tail}{self._suffix}"
        code = _kept_code(source, kept)
        if code is None:
            return None
        is_package = tail == "__init__"
        spec = ModuleSpec(name, _Loader(name, source, code), origin=source, is_package=is_package)
        spec.has_location = True
        spec.cached = kept
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(directory)
        return spec


def use_kept_bytecode() -> None:
    """Import modules of this package so from now on, if Python keeps bytecode where it does by
    itself."""
    if sys.pycache_prefix is None and sys.flags.optimize == 0:
        package = __file__.rpartition("/programs/")[0]
        sys.meta_path.insert(0, KeptBytecode(package))
