"""Compile the hot modules of the switch and of `ovs-ofctl` with mypyc, into one shared object.

    python tools/compile_hot.py              into the source tree, unless it is there and current
    python tools/compile_hot.py DIRECTORY    into the package in that directory, for a wheel

`MODULES` says which. mypyc takes them as they are, checks their types and writes C, which the C
compiler of the machine or, where there is none, `ziglang`'s (a package of pip's) turns into
`netloom/compiled/`; `netloom.programs.compiled` has them imported from there. Nothing depends on
it: without mypy, Python's headers or a compiler this says what is missing, and the sources run as
they are. Takes half a minute on two processors.

`NETLOOM_COMPILE=0` leaves it out; `NETLOOM_CC` names another compiler.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import runpy
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from zlib import crc32

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src"
COMPILED = runpy.run_path(str(SRC / "netloom/programs/compiled.py"))
#: What mypyc names the shared object after.
GROUP = COMPILED["LIBRARY"].removesuffix("__mypyc")
FLAGS = (
    "-O1", "-g0", "-fPIC", "-fwrapv", "-fvisibility=hidden", "-fno-strict-aliasing", "-DNDEBUG",
    "-w",
)  # fmt: skip

#: Folder -> modules in it: what runs for a flow mod, a dump, a packet-in, a packet-out, a miss, and
#: when `ovs-ofctl` reads or writes many flows. Classes of theirs may only have subclasses among
#: themselves.
MODULES = {
    "base": "counters",
    "flow": """
        address extract fields hashes key mapped match numbers ports print text value_text words
    """,
    "openflow": """
        action_check action_decode action_encode action_format action_parse bridge_end codec
        codec_basic codec_bundles codec_flow_rows codec_flows codec_match codec_packets codec_ports
        codec_stats connection duration_text fields_used flow_dump flow_encoder flow_lines
        flow_memory flow_mod flow_mod_shape flow_sets flow_text instruction_memo match_bytes_text
        message_table oxm oxm_template text_flows
    """,
    "netdev": "device",
    "netdev/linux": "packet_ring packet_socket tap",
    "datapath": "dpif",
    "datapath/userspace": "cache dpif execute layers polling rewrite track",
    "datapath/userspace/conntrack": """
        connection expected fragments key limits nat plain plan tcp tracker tuples
    """,
    "datapath/ebpf": """
        compile connections dpif entries flowtable installs kernel_counters layout orphans outbox
        registry ring upcalls usage zones
    """,
    "ofproto": """
        backer bridge bundle classifier conjunctions connmgr connmgr_bundles connmgr_changes
        connmgr_fail connmgr_requests connmgr_stats flow_entries flow_mod_log mac_table multipart
        packet_in packet_outs prefix_trie recirculations revalidate rules serving sessions
        shared_credits shortcut_tree shortcuts subtable table tables trails tunnels upcall
    """,
    "ofproto/underlay": "neighbours routes",
    "ofproto/translate": """
        action_set choice clone commit context crossing ct encap entry fields finish freeze groups
        handlers labels learn mirror mpls multicast normal output packet_length record sampling
        small spread tables tunnel tunnel_header underlay walk_log
    """,
}

#: A module's PyInit function: what importing it calls. mypyc's library has the rest.
INIT = """
PyMODINIT_FUNC PyInit_{0}(void) {{ return start("init_{0}"); }}
"""
INIT_HEADER = """
#include <Python.h>

static PyObject *start(const char *name)
{
    PyObject *library = PyImport_ImportModule("LIBRARY"), *capsule;
    if (!library)
        return NULL;
    capsule = PyObject_GetAttrString(library, name);
    Py_DECREF(library);
    if (!capsule)
        return NULL;
    PyObject *(*init)(void) = PyCapsule_GetPointer(capsule, PyCapsule_GetName(capsule));
    Py_DECREF(capsule);
    return init ? init() : NULL;
}
"""

#: File of mypyc's runtime -> what is wrong in it, and right. A slice of bytes that ends before it
#: begins is empty; mypyc 2.4 raises SystemError.
REPAIRS = {
    "bytes_ops.c": (
        "Py_ssize_t slice_len = endn - startn;",
        "Py_ssize_t slice_len = endn > startn ? endn - startn : 0;",
    ),
}


class CannotCompile(Exception):
    """Something that it takes is not here."""


def module_paths() -> list[str]:
    """The modules as paths below `src`."""
    return [
        f"netloom/{folder}/{name}.py" for folder, names in MODULES.items() for name in names.split()
    ]


def module_name(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".")


def _imports(path: Path) -> Iterator[str]:
    """What a source imports of the package, for its types alone included."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def sources() -> list[str]:
    """The modules and all that they import, as paths below `src`."""
    found: set[str] = set()
    waiting = module_paths()
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        for name in _imports(SRC / path):
            if name.startswith("netloom."):
                place = name.replace(".", "/")
                choices = (f"{place}.py", f"{place}/__init__.py")
                waiting += [choice for choice in choices if (SRC / choice).exists()]
    return sorted(found)


def compiler() -> list[str]:
    """The command of the C compiler."""
    if chosen := os.environ.get("NETLOOM_CC"):
        return shlex.split(chosen)
    if shutil.which("cc"):
        return ["cc"]
    if importlib.util.find_spec("ziglang") is None:
        raise CannotCompile("no C compiler: pip install ziglang")
    # Its checks of undefined behaviour are for programs that are tested, not for extensions.
    return [sys.executable, "-m", "ziglang", "cc", "-fno-sanitize=undefined"]


def _check_prerequisites() -> None:
    if importlib.util.find_spec("mypyc") is None:
        raise CannotCompile("no mypyc: pip install mypy")
    header = Path(sysconfig.get_paths()["include"], "Python.h")
    if not header.exists():
        raise CannotCompile(f"no {header}: install Python's headers (python3-dev)")


def write_c(directory: Path) -> tuple[list[Path], list[str]]:
    """Have mypyc write C; returns the files and where their headers are."""
    script = (
        "import sys; from mypyc.build import mypycify; n = 4 + int(sys.argv[3]); "
        "options = dict(multi_file=True, group_name=sys.argv[1], target_dir=sys.argv[2]); "
        "made = mypycify(sys.argv[n:], only_compile_paths=sys.argv[4:n], **options); "
        "print(*made[0].include_dirs, sep='\\n')"
    )
    # All that is looked at is named, in the order in which mypy alone takes it: where modules
    # depend on each other, the types that it knows depend on the order.
    modules = module_paths()
    paths = sources()
    options = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(directory / "m")]
    argv = [sys.executable, "-c", script, GROUP, str(directory), str(len(modules))]
    argv += [*modules, *options, *paths]
    environment = {**os.environ, "MYPYPATH": str(SRC)}
    done = subprocess.run(argv, cwd=SRC, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise CannotCompile(f"mypyc refuses the sources:\n{done.stdout}{done.stderr}")
    include = [line for line in done.stdout.splitlines() if line.startswith("/")]
    _repair(directory)
    symbols = [module_name(path).replace(".", "___") for path in module_paths()]
    starts = INIT_HEADER.replace("LIBRARY", COMPILED["LIBRARY"])
    (directory / "start.c").write_text(starts + "".join(map(INIT.format, symbols)))
    spec = importlib.util.find_spec("mypyc")
    assert spec is not None and spec.submodule_search_locations
    runtime = Path(next(iter(spec.submodule_search_locations)), "lib-rt")
    headers = [str(directory), str(runtime), *include, sysconfig.get_paths()["include"]]
    return sorted(directory.glob("*.c"), key=lambda path: -path.stat().st_size), headers


def _repair(directory: Path) -> None:
    for name, (wrong, right) in REPAIRS.items():
        text = (directory / name).read_text()
        if wrong not in text:
            raise CannotCompile(f"another version of mypyc: its {name} is not what is known")
        (directory / name).write_text(text.replace(wrong, right))


def _run_compiler(argv: list[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode:
        raise CannotCompile(f"{' '.join(argv[:3])} ... fails:\n{done.stderr[:2_000]}")


def compile_c(files: list[Path], headers: list[str], output: Path) -> None:
    """Compile the files, some at once, and link them."""
    command = compiler()
    include = [f"-I{directory}" for directory in headers]

    def compile_one(file: Path) -> str:
        made = str(file.with_suffix(".o"))
        _run_compiler([*command, *FLAGS, *include, "-c", str(file), "-o", made])
        return made

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compile_one, files))
    _run_compiler([*command, "-shared", *objects, "-o", str(output)])


def build(package: Path) -> None:
    """Compile into `package`, the directory of `netloom`."""
    _check_prerequisites()
    target = package / COMPILED["DIRECTORY"]
    sums = [f"source {crc32((SRC / path).read_bytes()):08x} {path[8:]}" for path in sources()]
    name = f"hot{sysconfig.get_config_var('EXT_SUFFIX')}"
    modules = [f"module {module_name(path)}" for path in module_paths()]
    with tempfile.TemporaryDirectory() as scratch:
        files, headers = write_c(Path(scratch))
        compile_c(files, headers, Path(scratch, name))
        target.mkdir(parents=True, exist_ok=True)
        # A running daemon keeps the file that it has.
        shutil.copy(Path(scratch, name), target / f"{name}.new")
    (target / f"{name}.new").replace(target / name)
    (target / COMPILED["MANIFEST"]).write_text("\n".join([f"object {name}", *modules, *sums, ""]))


def is_current() -> bool:
    """Is what the source tree has made from what it has now?"""
    manifest = SRC / "netloom" / COMPILED["DIRECTORY"] / COMPILED["MANIFEST"]
    if not manifest.exists():
        return False
    wanted = {module_name(path) for path in module_paths()}
    listed = [line.split() for line in manifest.read_text().splitlines()]
    if wanted != {words[1] for words in listed if words[0] == "module"}:
        return False
    made_ns = manifest.stat().st_mtime_ns
    return Path(__file__).stat().st_mtime_ns < made_ns and not _changed()


def _changed() -> bool:
    """Would `netloom.programs.compiled` refuse?"""
    argv = [sys.executable, "-I", str(SRC / "netloom/programs/compiled.py")]
    return subprocess.run(argv, capture_output=True, text=True).stdout.strip() != "compiled"


def main(argv: list[str]) -> None:
    """See the module. Exit status 0 also if it cannot compile: nothing depends on it."""
    if os.environ.get(COMPILED["SWITCH"]) == "0":
        return
    if not argv and is_current():
        return
    print("netloom: compiling hot modules (half a minute; NETLOOM_COMPILE=0 skips it)",
          file=sys.stderr)  # fmt: skip
    try:
        build(Path(argv[0]) if argv else SRC / "netloom")
    except CannotCompile as error:
        print(f"netloom: they will be interpreted: {error}", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
