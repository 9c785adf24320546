"""Compile the eBPF programs: C and a header generated from the field table, by zig's C compiler.

    python tools/build_bpf.py OUTPUT

`ziglang` is a package of pip's (`setup.py` asks for it when the package is built), so neither a
compiler nor kernel headers are needed on the machine; with `NETLOOM_BPF_CC` another compiler can be
named, such as `clang -target bpf`. The output is the same for every machine of little-endian byte
order.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "src/netloom/datapath/ebpf/bpf"
OBJECT_NAME = "datapath.bpf.o"
FLAGS = ("-O2", "-g", "-Wall", "-Wextra", "-Werror", "-fdebug-prefix-map={root}=.", "-c")


def compiler() -> list[str]:
    """The command of the compiler, with the flags that name target and headers."""
    if chosen := os.environ.get("NETLOOM_BPF_CC"):
        return shlex.split(chosen)
    spec = importlib.util.find_spec("ziglang")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("ziglang is not installed: pip install ziglang")
    include = Path(next(iter(spec.submodule_search_locations))) / "lib/libc/include"
    return [
        sys.executable, "-m", "ziglang", "cc", "-target", "bpfel-freestanding",
        "-isystem", str(include / "any-linux-any"), "-isystem", str(include / "x86-linux-any"),
    ]  # fmt: skip


def generated_header() -> str:
    """The header from the field table."""
    sys.path.insert(0, str(ROOT / "src"))
    try:
        from netloom.datapath.ebpf.spec import c_header, c_offset_checks
    finally:
        sys.path.pop(0)
    return c_header() + c_offset_checks() + "\n"


def build(output: Path) -> None:
    """Compile to `output`."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "generated.h").write_text(generated_header())
        flags = [flag.format(root=ROOT) for flag in FLAGS]
        command = [
            *compiler(), *flags, "-I", directory, "-I", str(SOURCES),
            str(SOURCES / "datapath.bpf.c"), "-o", str(output),
        ]  # fmt: skip
        subprocess.run(command, check=True)


def is_current(output: Path) -> bool:
    """Whether `output` is newer than all that it is made from."""
    if not output.exists():
        return False
    inputs = [
        *SOURCES.iterdir(),
        Path(__file__),
        SOURCES.parent / "spec.py",
        SOURCES.parent / "layout.py",
        ROOT / "src/netloom/flow/fields.py",
    ]
    return output.stat().st_mtime >= max(path.stat().st_mtime for path in inputs)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
