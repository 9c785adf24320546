"""Imports modules from the bytecode that Python has kept of them: in fewer steps, and late.

Python looks for a module in directories that it lists, asks several finders, and builds paths; a
tool of eighty modules waits 4 ms for that, a third of its time. This finder knows where a module of
the package must be, and where those of the standard library are. It opens
`__pycache__/NAME.TAG.pyc`, and if that is of the source as it is now (its time and size, as Python
checks them), runs it; otherwise Python does what it always does, which is also to write the file.

With `late`, a module of the package runs when something in it is asked for the first time.
`from netloom.openflow import oxm` then costs next to nothing where no `oxm.NAME` follows, and
`from netloom.openflow.oxm import NAME` what it always costs. Tools import so, most commands of
which need a part of what they might. A module must not count on being run at its import.

What must hold: whoever imports the same module the usual way gets the same module.
"""

from __future__ import annotations

import sys
from marshal import loads
from posix import O_CLOEXEC, O_RDONLY, close, fstat, open, read, stat, stat_result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec, SourceFileLoader
    from importlib.util import MAGIC_NUMBER
    from types import CodeType, ModuleType

    def _fix_co_filename(code: CodeType, path: str) -> None:
        """Python's own, for sources that were moved."""

    def is_frozen(name: str) -> bool:
        """Python's own."""

else:
    # `importlib` would import what it is all about not to import.
    from _frozen_importlib import ModuleSpec
    from _frozen_importlib_external import MAGIC_NUMBER, SourceFileLoader
    from _imp import _fix_co_filename, is_frozen

    ModuleType = type(sys)

#: Magic number, and flags of a file that is checked by time and size; these follow, then the code.
_HEAD = MAGIC_NUMBER + bytes(4)
_HEAD_BYTES = len(_HEAD) + 8
#: What `import` asks a new module for, and sets itself.
_ASKED_BY_IMPORT = frozenset({"__path__", "__file__", "__cached__"})


class _Loader(SourceFileLoader):
    """Python's own, which reads what is kept in fewer steps."""

    #: What stat(2) said of the source, and where its bytecode is.
    made_of: stat_result
    kept: str
    finder: KeptBytecode

    def get_code(self, fullname: str) -> CodeType | None:
        """The module's code."""
        code = _kept_code(self.path, self.made_of, self.kept) if fullname == self.name else None
        return code or super().get_code(fullname)


class _LateModule(ModuleType):
    """A module that has not run: it does so when a name is asked for that it does not have."""

    def __getattr__(self, name: str) -> object:
        if name in _ASKED_BY_IMPORT:
            raise AttributeError(name)
        loader = self.__loader__
        assert isinstance(loader, _LateLoader)
        self.__class__ = ModuleType  # type: ignore[assignment]
        code = loader.get_code(self.__name__)
        assert code is not None
        # What it will import at once.
        for imported in code.co_names:
            if imported.startswith(loader.finder.prefix) and imported not in sys.modules:
                loader.finder.make(imported)
        try:
            exec(code, self.__dict__)
        except AttributeError as error:
            # Who asked whether there is an attribute is not to take this for the answer.
            raise ImportError(f"{self.__name__}: {error}", name=self.__name__) from error
        return getattr(self, name)


class _LatePackage(ModuleType):
    """A package that makes late modules of its own when they are asked for."""

    def __getattr__(self, name: str) -> object:
        loader = self.__loader__
        if isinstance(loader, _PackageLoader) and not name.startswith("__"):
            module = loader.finder.make(f"{self.__name__}.{name}")
            if module is not None:
                return module
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")


class _LateLoader(_Loader):
    """Loads a module that runs later."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module, empty."""
        return _LateModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing yet."""


class _PackageLoader(_Loader):
    """Loads a package whose modules run later; itself it runs at once."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module, empty."""
        return _LatePackage(spec.name)


def _read(path: str) -> bytes:
    descriptor = open(path, O_RDONLY | O_CLOEXEC)
    try:
        return read(descriptor, fstat(descriptor).st_size)
    finally:
        close(descriptor)


def _kept_code(source: str, made_of: stat_result, kept: str) -> CodeType | None:
    """The code in the file `kept`, if it is of `source`, of which `made_of` is known."""
    try:
        data = _read(kept)
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
    """A finder for `sys.meta_path`: of modules below `package`, a directory, and of those in
    `library`, that of the standard library, which are neither built in nor frozen nor packages."""

    def __init__(self, package: str, library: str = "", late: bool = False) -> None:
        self._above, _, name = package.rpartition("/")
        self.prefix = f"{name}."
        self._library = library
        self._suffix = f".{sys.implementation.cache_tag}.pyc"
        self._loaders = (_LateLoader, _PackageLoader) if late else (_Loader, _Loader)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.startswith(self.prefix):
            place = f"{self._above}/{name.replace('.', '/')}"
            directory, _, tail = place.rpartition("/")
            of_module, of_package = self._loaders
            return self._spec(name, directory, tail, of_module) or self._spec(
                name, place, "__init__", of_package
            )
        if self._library and name in sys.stdlib_module_names and not _is_inside(name):
            return self._spec(name, self._library, name, _Loader)
        return None

    def make(self, name: str) -> ModuleType | None:
        """A late module, known as if it was imported; None if there is none, if it is a package or
        if another finder is to be asked first. Python itself takes ten times as long for that."""
        for finder in sys.meta_path[: sys.meta_path.index(self)]:
            if finder.find_spec(name, None) is not None:
                return None
        above, _, tail = name.rpartition(".")
        parent = sys.modules.get(above) or __import__(above, fromlist=["x"])
        spec = self.find_spec(name, None)
        if spec is None or spec.submodule_search_locations is not None:
            return None
        module = _LateModule(name)
        module.__spec__ = spec
        module.__loader__ = spec.loader
        module.__package__ = above
        module.__file__ = spec.origin
        module.__dict__["__cached__"] = spec.cached
        sys.modules[name] = module
        setattr(parent, tail, module)
        return module

    def _spec(
        self, name: str, directory: str, tail: str, loader_class: type[_Loader]
    ) -> ModuleSpec | None:
        source = f"{directory}/{tail}.py"
        try:
            made_of = stat(source)
        except OSError:
            return None
        loader = loader_class(name, source)
        loader.finder = self
        loader.made_of = made_of
        loader.kept = f"{directory}/__pycache__/{tail}{self._suffix}"
        spec = ModuleSpec(name, loader, origin=source, is_package=tail == "__init__")
        spec.has_location = True
        spec.cached = loader.kept
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(directory)
        return spec


def _is_inside(name: str) -> bool:
    """Has the interpreter this module inside?"""
    return name in sys.builtin_module_names or is_frozen(name)


def use_kept_bytecode(late: bool = False) -> None:
    """Import modules so from now on, if Python keeps bytecode where it does by itself."""
    if sys.pycache_prefix is None and sys.flags.optimize == 0:
        package = __file__.rpartition("/programs/")[0]
        # Of this module everybody has run the source.
        library = (sys.modules["encodings"].__file__ or "").rpartition("/encodings/")[0]
        sys.meta_path.insert(0, KeptBytecode(package, library, late))
