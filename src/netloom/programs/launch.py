"""How the classic tools start: one small script per tool, without `site`.

A pip console script costs about 9 ms more than Python itself: it imports `site`, `re` and whatever
the environment's `.pth` files name. Scripts call `ovs-vsctl` thousands of times, so each tool is
installed as a script of its own that the shell and Python both read (`script_for`): the shell part
picks an interpreter and runs it with `-I -S`; the Python part puts the package's directory on
`sys.path` and calls `run`; where that is not the package's, `site` finds out. The script of an
editable installation, which stays where it is, names the interpreter and the directory of the
sources, and needs no shell. Daemons always take `site`, as their dependencies may live anywhere.

Other programs look for `ovsdb-client monitor ...` or for `ovs-vswitchd` in /proc/PID/cmdline
(Neutron's agent waits for its monitor that way) and in /proc/PID/comm (pidof, pgrep), where a
script has the interpreter and its options. So a tool writes its own line over it. The kernel keeps
the size of a command line for good: it shows all of it, words ending in zeros, as long as the last
byte is a zero; otherwise what is there up to the first zero, which is how programs set a title
(proc(5)). The words of a title have spaces between them, as in `ps`.

`TOOLS` is the one table of installed tools; `setup.py` reads it without importing the package, so
this module imports nothing of it at the top.
"""

from __future__ import annotations

import gc
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

#: Tool name -> (module whose `main()` it runs, whether it needs third-party packages). `main` gets
#: the command line, whose first word is the tool's name, and returns the exit status.
TOOLS = {
    "ovs-vsctl": ("netloom.programs.vsctl.main", False),
    "vtep-ctl": ("netloom.programs.vtep_ctl.main", False),
    "ovs-ofctl": ("netloom.programs.ofctl", False),
    "ovs-appctl": ("netloom.programs.appctl", False),
    "ovs-dpctl": ("netloom.programs.dpctl", False),
    "ovsdb-client": ("netloom.programs.ovsdb_client.main", False),
    "ovsdb-tool": ("netloom.programs.ovsdb_tool", True),
    "ovsdb-server": ("netloom.programs.ovsdb_server", True),
    "ovs-vswitchd": ("netloom.programs.vswitchd", True),
    "ovs-testcontroller": ("netloom.programs.testcontroller", True),
    "ovs-pki": ("netloom.programs.pki.main", True),
    "ovs-pcap": ("netloom.programs.packet_hex", False),
    "ovs-tcpundump": ("netloom.programs.packet_hex", False),
    "ovs-tcpdump": ("netloom.programs.tcpdump.main", False),
    "ovs-ctl": ("netloom.programs.ctl", False),
    "ovs-dpctl-top": ("netloom.programs.dpctl_top", False),
}

#: Tools that run hot modules compiled, if they were (`netloom.programs.compiled`), and the words of
#: a command line with which they do (empty: always). To load what was compiled takes 2 ms, which
#: only those commands make up for that read or write many flows.
COMPILED = {
    "ovs-ofctl": frozenset((
        "-", "add-flows", "add-groups", "bundle", "diff-flows", "dump-flows", "monitor",
        "ofp-parse", "ofp-parse-pcap", "parse-flows", "replace-flows", "snoop",
    )),
    "ovs-vswitchd": frozenset(()),
}  # fmt: skip

#: So many objects more, and it is looked for garbage.
MAX_NEW_OBJECTS = 200_000
#: Where proc(5) has arg_start and arg_end in /proc/PID/stat, counted behind the name's `) `.
_ARG_START, _ARG_END = 45, 46
#: comm holds 15 bytes and a zero.
_LONGEST_NAME = 15
#: The first line of a script may have so many bytes everywhere.
_LONGEST_START = 127

#: `@python@` is the interpreter of the installation, `@tool@` the tool. To the shell the second
#: line is the command `:`, and what follows runs up to `exec`; to Python all of it is a string.
TEMPLATE = """\
#!/bin/sh
'''':
case $0 in */*) self=$0 ;; *) self=./$0 ;; esac
if [ -h "$self" ]; then self=$(readlink -f "$self"); fi
python=${self%/*}/python3
if [ ! -x "$python" ]; then python='@python@'; fi
if [ ! -x "$python" ]; then python=python3; fi
exec "$python" -I -S "$self" "$@"
exit 127
'''
import sys
prefix = __file__.rpartition("/")[0].rpartition("/")[0]
version = "python%d.%d" % sys.version_info[:2]
sys.path += [
    prefix + "/lib/" + version + "/site-packages",
    prefix + "/local/lib/" + version + "/dist-packages",
    prefix + "/lib/" + version + "/dist-packages",
    prefix + "/lib/python3/dist-packages",
]
try:
    from netloom.programs.launch import run
except ModuleNotFoundError:
    import site
    site.main()
    from netloom.programs.launch import run
run("@tool@")
"""

#: The same where the sources stay in the directory `@source@`.
EDITABLE_TEMPLATE = """\
@start@
import sys
sys.path.insert(0, @source@)
from netloom.programs.launch import run
run("@tool@")
"""


def script_for(tool: str, python: str, source: str = "") -> str:
    """The text of the script that starts `tool`; `python` is the path of an interpreter. `source`
    is the directory of the sources, if they stay there."""
    start = f"#!{python} -IS"
    if source and _is_start(start):
        text = EDITABLE_TEMPLATE.replace("@start@", start).replace("@source@", repr(source))
        return text.replace("@tool@", tool)
    return TEMPLATE.replace("@python@", python.replace("'", "'\\''")).replace("@tool@", tool)


def _is_start(line: str) -> bool:
    """Does every kernel take it as the first line of a script? It has one space."""
    is_short = len(line.encode()) <= _LONGEST_START
    return is_short and line.startswith("#!/") and len(line.split()) == 2


def run(tool: str, argv: Sequence[str] | None = None) -> None:
    """Run `tool` with the arguments `argv` (default: the process's own)."""
    argv = [tool, *(sys.argv[1:] if argv is None else argv)]
    for stream in (sys.stdout, sys.stderr):
        # What the databases hold is UTF-8, whatever the locale; other bytes pass as they came.
        stream.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr]
    show_as(argv)
    module_name, needs_site = TOOLS[tool]
    gc.disable()
    from netloom.programs.kept_bytecode import use_kept_bytecode

    use_kept_bytecode(late=not needs_site)
    if needs_site and "site" not in sys.modules:
        import site

        site.main()
    if runs_compiled(argv):
        from netloom.programs.compiled import activate

        activate()
    module = __import__(module_name, fromlist=["main"])
    # What is loaded stays, and little of what a tool makes is in cycles.
    gc.freeze()
    gc.set_threshold(MAX_NEW_OBJECTS)
    gc.enable()
    finish(module.main(argv))


def runs_compiled(argv: Sequence[str]) -> bool:
    """Is a command line, whose first word is a tool's name, one for which compiled modules pay?"""
    words = COMPILED.get(argv[0])
    return words is not None and (not words or not words.isdisjoint(argv))


def title(words: Sequence[str], size: int) -> bytes | None:
    """`size` bytes that the kernel shows as `words`; None if they do not fit."""
    text = " ".join(words).encode("utf-8", "surrogateescape") + b"\0"
    return text.ljust(size, b"-") if len(text) < size else None


def show_as(argv: Sequence[str]) -> None:
    """Let this process appear as run with `argv`. Where that is forbidden it stays as it is."""
    import posix

    try:
        with open("/proc/self/comm", "wb") as comm:
            comm.write(argv[0].encode()[:_LONGEST_NAME])
        with open("/proc/self/stat", "rb") as stat:
            fields = stat.read().rpartition(b") ")[2].split()
        start, end = int(fields[_ARG_START]), int(fields[_ARG_END])
        text = title(argv, end - start)
        if text is not None:
            memory = posix.open("/proc/self/mem", posix.O_WRONLY | posix.O_CLOEXEC)
            try:
                posix.pwrite(memory, text, start)
            finally:
                posix.close(memory)
    except OSError:
        # A sandbox without /proc, or one that lets nobody write there: only the looks differ.
        return


def finish(status: int) -> None:
    """End the process with `status`, skipping the interpreter's own tidying (about 1 ms)."""
    import posix

    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        status = status or 1
    posix._exit(status)


if __name__ == "__main__":
    # From a checkout: python3 -I -S src/netloom/programs/launch.py ovs-vsctl show
    # First, as this very directory, where Python looks too, has a module of the name `netloom`.
    sys.path.insert(0, __file__.rpartition("/netloom/programs/")[0])
    run(sys.argv[1], sys.argv[2:])
