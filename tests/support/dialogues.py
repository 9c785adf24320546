"""The same shell commands put to Debian's switch with Debian's tools and to ours with ours.

A dialogue is a text file: a command of the shell a line, continued after a backslash; lines that
start with `#` say what it is about. `$D` is the run directory. Before each dialogue there is one
bridge, br0, with the dummies p1, p2 and p3 as ports 1 to 3, that speaks every version of OpenFlow.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from types import TracebackType

from tests.support.peer_switch import ALL_DUMMIES, PeerSwitch
from tests.support.releases import as_later
from tests.support.switches import own_tools

_END = "=@=@="
#: What the shell knows beside the tools. The daemon under test has no pid file by which ovs-appctl
#: would find it; and Open vSwitch's forgets what a deleted flow used some time after the flow.
_FUNCTIONS = """ovs-appctl() {
    case $1 in
    -t) command ovs-appctl "$@" ;;
    *) command ovs-appctl -t "$D/switch.ctl" "$@" ;;
    esac
}
del_unused_tlv_map() {
    for i in $(seq 100); do
        ovs-ofctl del-tlv-map "$@" 2>/dev/null && return
        sleep .05
    done
    ovs-ofctl del-tlv-map "$@"
}
"""
_VERSIONS = ",".join(f"OpenFlow1{minor}" for minor in range(6))
BRIDGE = (
    (
        "ovs-vsctl --timeout=60 --if-exists del-br br0 -- add-br br0 -- set bridge br0 "
        "datapath-type=dummy fail-mode=secure other-config:datapath-id=fedcba9876543210 "
        f"other-config:hwaddr=aa:55:aa:55:00:00 protocols={_VERSIONS}"
    )
    + "".join(
        f" -- add-port br0 p{n} -- set interface p{n} type=dummy ofport_request={n}"
        for n in (1, 2, 3)
    )
    + "; ovs-appctl dpctl/del-flows"
)
#: What differs from run to run, and what it becomes.
_MASKS = tuple(
    (re.compile(pattern, re.MULTILINE), text)
    for pattern, text in (
        (r"^\d{4}-\d\d-\d\dT[\d:.]+Z\|\d+\|", "|"),
        (r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+", "TIME"),
        (r"(duration|used)[=:][\d.]+s", r"\1=Xs"),
        (r"(idle|hard)_age=\d+, ?", ""),
        (r"\(?xid=0x[0-9a-f]+\)?", "XID"),
        (r"addr:aa:55:aa:55:00:[0-9a-f]{2}", "MAC"),
        (r"\.\d+\.ctl", ".N.ctl"),
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID"),
        (r"\b3\.[17]\.\d\b", "RELEASE"),
        # OVS 3.7 tells packets that come back with their hash from those of dead buckets.
        (r"^ *-> (no live bucket|selection method in use: dp_hash, recirculating)\n", ""),
        # OVS 3.7 has twice the registers.
        (r"reg0\.\.\.reg\d+ xreg0\.\.\.xreg\d+ xxreg0\.\.\.xxreg\d+", "REGISTERS"),
    )
)


def read_dialogue(path: Path) -> list[str]:
    """Its commands."""
    lines = path.read_text().replace("\\\n", "\0").split("\n")
    return [line.replace("\0", "\n") for line in lines if line.strip() and line[0] != "#"]


class Side:
    """A switch and a shell beside it."""

    def __init__(self, base: Path, ours: bool) -> None:
        self.directory = base / ("ours" if ours else "theirs")
        self.directory.mkdir()
        vswitchd: tuple[str, ...] = ("ovs-vswitchd",)
        path = ""
        if ours:
            tools = base / "bin"
            own_tools(tools)
            vswitchd = (str(tools / "ovs-vswitchd"),)
            path = f"{tools}:"
        options = (*ALL_DUMMIES, "--disable-system-route", "--log-file")
        self.switch = PeerSwitch(self.directory, vswitchd, options)
        env = dict(self.switch.env, D=str(self.directory), TZ="UTC", OVS_CTL_TIMEOUT="60")
        env["PATH"] = path + env["PATH"]
        self._shell = subprocess.Popen(
            ("bash", "--norc"), env=env, cwd=self.directory, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

        assert self._shell.stdin is not None
        self._shell.stdin.write(_FUNCTIONS)

    def say(self, command: str) -> str:
        """Output, errors and exit status of a command, less what differs from run to run."""
        assert self._shell.stdin is not None and self._shell.stdout is not None
        self._shell.stdin.write(
            f"{{ {command}\n}} 2>errors.txt </dev/null\n"
            f"status=$?; echo; cat errors.txt; echo; echo {_END} $status\n"
        )
        self._shell.stdin.flush()
        lines = []
        for line in self._shell.stdout:
            if line.startswith(_END):
                lines.append(f"status {line.split()[1]}")
                break
            if line.strip():
                lines.append(line)
        text = "".join(lines).replace(str(self.directory), "DIR")
        for pattern, word in _MASKS:
            text = pattern.sub(word, text)
        return as_later(text)

    def __enter__(self) -> Side:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._shell.kill()
        self._shell.wait()
        self.switch.close()
