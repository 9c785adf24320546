"""Run hot modules compiled, where somebody has compiled them.

`tools/compile_hot.py` translates the modules of its list with mypyc into one shared object in
`netloom/compiled/`, with a manifest of what it was made from. `activate`, which the start scripts
of some tools call first, makes `import` take these modules from there. What behaves differently is
speed alone: whoever imports the package otherwise (tests, a debugger, `PYTHONPATH=src`) runs the
source.

What must hold: all of the modules are compiled or none is, for within the shared object they call
each other directly; and no compiled code runs for a source that says something else. So the
manifest has the sum of every source that the object was made from, those of the modules that it
only imports included; if one differs, everything is interpreted. That a file is older than the
object is enough to know that it does not: a check of some 250 files takes half a millisecond.

`NETLOOM_COMPILE=0` in the environment switches it off. `python -m netloom.programs.compiled` says
whether the modules would run compiled, and if not, why.
"""

from __future__ import annotations

import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

#: The extension module that has the code of all; mypyc chose its name.
LIBRARY = "netloom_hot__mypyc"
#: Where it and its manifest are, below the package.
DIRECTORY = "compiled"
MANIFEST = f"manifest-{sys.implementation.cache_tag}"
SWITCH = "NETLOOM_COMPILE"


class _Finder:
    """Finds the modules of a shared object; each has its own PyInit function in it."""

    def __init__(self, path: str, modules: frozenset[str]) -> None:
        self._path = path
        self._modules = modules

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in self._modules:
            return None
        from importlib.machinery import ModuleSpec

        return ModuleSpec(name, self, origin=self._path)  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module, which has run when this returns."""
        from importlib.machinery import ExtensionFileLoader, ModuleSpec

        symbol = spec.name.replace(".", "___")
        loader = ExtensionFileLoader(symbol, self._path)
        module = loader.create_module(ModuleSpec(symbol, loader, origin=self._path))
        if symbol != spec.name:
            # Python notes it under the name of the function, too.
            sys.modules.pop(symbol, None)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is left to do."""


def _package() -> str:
    """The package's directory."""
    return __file__.rpartition("/programs/")[0]


def _read_manifest(path: str) -> list[list[str]]:
    """Lines of words: `object NAME`, `module NAME`, `source SUM PATH` (below the package)."""
    with open(path, encoding="utf-8") as file:
        return [line.split() for line in file]


def _is_as_compiled(path: str, checksum: str, compiled_ns: int) -> bool:
    """Does a source say what it said then?"""
    from zlib import crc32

    try:
        if posix.stat(path).st_mtime_ns < compiled_ns:
            return True
        with open(path, "rb") as file:
            return f"{crc32(file.read()):08x}" == checksum
    except FileNotFoundError:
        return False


def activate() -> str:
    """Have the modules imported compiled from now on; returns why not ("" if so)."""
    if posix.environ.get(SWITCH.encode()) == b"0":
        return f"{SWITCH}=0"
    package = _package()
    directory = f"{package}/{DIRECTORY}"
    try:
        lines = _read_manifest(f"{directory}/{MANIFEST}")
    except FileNotFoundError:
        return "not compiled"
    objects = [f"{directory}/{words[1]}" for words in lines if words[0] == "object"]
    try:
        compiled_ns = posix.stat(objects[0]).st_mtime_ns
    except (FileNotFoundError, IndexError):
        return "incomplete"
    for words in lines:
        if words[0] != "source":
            continue
        if not _is_as_compiled(f"{package}/{words[2]}", words[1], compiled_ns):
            return f"{words[2]} has changed"
    modules = frozenset(words[1] for words in lines if words[0] == "module")
    loaded = modules & set(sys.modules)
    if loaded:
        return f"{min(loaded)} is imported already"
    sys.meta_path.insert(0, _Finder(objects[0], modules | {LIBRARY}))
    return ""


if __name__ == "__main__":
    reason = activate()
    print(f"interpreted: {reason}" if reason else "compiled")
