"""Trace cases: a small language for a switch, its flows, packets and what `ofproto/trace` says.

A file is a comment and sections that begin with `===`:

    # What this is about.
    === setup
    bridge NAME
    port BRIDGE NAME OFPORT [tag=N] [trunks=N,N] [vlan_mode=MODE] [cvlans=N] [other_config:K=V]
    patch BRIDGE NAME OFPORT PEER [the same]
    fdb BRIDGE PORT VLAN MAC
    sampler BRIDGE COLLECTOR-SET-ID
    mirror BRIDGE NAME [all] [src=PORT,PORT] [dst=PORT] [vlans=N,N] [port=PORT] [vlan=N] [snaplen=N]
    === groups BRIDGE
    group_id=1,type=all,bucket=output:2
    === flows BRIDGE
    priority=0 actions=NORMAL
    === trace BRIDGE FLOW
    the whole output, data-path ports by name
    === trace BRIDGE FLOW --ct-next STATES
    the same with an answer of the connection tracker (more of them may follow)
    === packet-out BRIDGE FLOW ACTIONS
    the same of ofproto/trace-packet-out
    === 3.7 REASON
    what Open vSwitch 3.7 says to the trace before, unlike what was recorded

A bridge fails secure. What is expected was recorded from Debian's ovs-vswitchd:

    NETLOOM_RECORD_TRACES=1 pytest tests/interop/test_trace_cases_peer.py
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.support.releases import as_later

FOLDER = Path(__file__).parent
FILES = sorted(FOLDER.glob("*.txt"))


class TraceCase:
    """One file."""

    def __init__(self, text: str) -> None:
        self.comment, *sections = re.split(r"^=== ", text, flags=re.MULTILINE)
        self.setup: list[list[str]] = []
        #: bridge -> flows, one a line.
        self.flows: dict[str, str] = {}
        self.groups: dict[str, str] = {}
        #: Words of a command -> output without the final newline.
        self.traces: dict[tuple[str, ...], str] = {}
        #: The same as 3.7 has it, where it differs on purpose.
        self.newer: dict[tuple[str, ...], str] = {}
        query: tuple[str, ...] = ()
        for section in sections:
            head, _, body = section.partition("\n")
            kind, _, rest = head.partition(" ")
            if kind == "setup":
                self.setup = [line.split() for line in body.splitlines() if line]
            elif kind == "flows":
                self.flows[rest] = body.strip()
            elif kind == "groups":
                self.groups[rest] = body.strip()
            elif kind == "3.7":
                self.newer[query] = body.rstrip("\n")
            else:
                query = command_of(head)
                self.traces[query] = body.rstrip("\n")
        self._sections = sections

    def expected(self, query: tuple[str, ...]) -> str:
        """What a switch of today says."""
        return self.newer.get(query, self.traces[query])

    def recorded(self, outputs: Mapping[tuple[str, ...], str]) -> str:
        """The text of the file with these outputs."""
        parts = [self.comment]
        for section in self._sections:
            head, _, body = section.partition("\n")
            if head.startswith(("trace ", "packet-out ")):
                body = outputs[command_of(head)] + "\n\n"
            parts.append(f"=== {head}\n{body}")
        return "".join(parts).rstrip("\n") + "\n"


def command_of(head: str) -> tuple[str, ...]:
    """The words of an appctl command for the head of a section."""
    kind, bridge, flow, *actions = shlex.split(head)
    names = {"trace": "ofproto/trace", "packet-out": "ofproto/trace-packet-out"}
    return (names[kind], bridge, flow, *actions)


def vsctl_lines(case: TraceCase) -> Iterator[str]:
    """ovs-vsctl command lines for the setup, less `fdb`."""
    for kind, bridge, *words in case.setup:
        if kind == "bridge":
            yield (f"add-br {bridge} -- set bridge {bridge} fail-mode=secure datapath_type=dummy "
                   "protocols=OpenFlow10,OpenFlow13,OpenFlow15")  # fmt: skip
        elif kind in ("port", "patch"):
            name, number, *options = words
            type_ = "type=dummy"
            if kind == "patch":
                type_ = f"type=patch options:peer={options.pop(0)}"
            yield (f"add-port {bridge} {name} {' '.join(options)} "
                   f"-- set interface {name} {type_} ofport_request={number}")  # fmt: skip


def mirror_lines(case: TraceCase) -> Iterator[list[str]]:
    """Words of ovs-vsctl for the mirrors, which need all ports."""
    for kind, bridge, *words in case.setup:
        if kind != "mirror":
            continue
        name, options = words[0], dict(word.partition("=")[::2] for word in words[1:])
        ports = {p for key in ("src", "dst", "port") if options.get(key)
                 for p in options[key].split(",")}  # fmt: skip
        line = [w for p in sorted(ports) for w in ("--", f"--id=@{p}", "get", "Port", p)]
        line += ["--", "--id=@mirror", "create", "Mirror", f"name={name}"]
        for key, value in options.items():
            refs = ",".join(f"@{word}" for word in value.split(","))
            line.append({
                "all": "select_all=true", "src": f"select_src_port={refs}",
                "dst": f"select_dst_port={refs}", "port": f"output_port={refs}",
                "vlans": f"select_vlan={value}", "vlan": f"output_vlan={value}",
            }.get(key, f"{key}={value}"))  # fmt: skip
        yield [*line, "--", "add", "Bridge", bridge, "mirrors", "@mirror"]


def sampler_lines(case: TraceCase) -> Iterator[list[str]]:
    """Words of ovs-vsctl for the collector sets, which need their bridges."""
    for kind, bridge, *words in case.setup:
        if kind == "sampler":
            yield ["--id=@bridge", "get", "Bridge", bridge, "--", "--id=@ipfix", "create", "IPFIX",
                   'targets="127.0.0.1:4739"', "--", "create", "Flow_Sample_Collector_Set",
                   f"id={words[0]}", "bridge=@bridge", "ipfix=@ipfix"]  # fmt: skip


def fdb_entries(case: TraceCase) -> Iterator[list[str]]:
    """(bridge, port, VLAN, MAC) of the entries."""
    return (words for kind, *words in case.setup if kind == "fdb")


def with_port_names(trace: str, names: Mapping[str, str]) -> str:
    """`trace` with data-path ports by name, and recirculation ids made the same."""
    numbers: dict[str, str] = {}

    def renumber(found: re.Match[str]) -> str:
        number = str(int(found[2], 0))
        return found[1] + numbers.setdefault(number, str(len(numbers) + 1))

    def rename(found: re.Match[str]) -> str:
        port = r"(^|,|clone\()(\d+)(?=[,)]|$)"
        return found[1] + re.sub(port, lambda port: port[1] + names.get(port[2], port[2]), found[2])

    # 3.1, which the cases were recorded from, does not list the flows of a conjunction.
    trace = re.sub(r"^ *-> conj\. .*\n", "", trace, flags=re.MULTILINE)
    trace = re.sub(r"^(Datapath actions: )(.*)$", rename, trace, flags=re.MULTILINE)
    trace = re.sub(r"(recirc\(|recirc_id=)(0x[0-9a-f]+|[1-9]\d*)", renumber, trace)
    return trace.rstrip("\n")


def without_flood_order(trace: str) -> str:
    """`trace` with the outputs of its actions sorted: in which order a flood visits the ports is
    no promise."""
    trace = as_later(trace)
    if "\nrecirc(" in trace:
        return trace
    head, line, rest = trace.partition("Datapath actions: ")
    actions, _, tail = rest.partition("\n")
    runs = re.sub(
        r"[\w]+(,[\w]+)+(?=,|$)", lambda run: ",".join(sorted(run[0].split(","))), actions
    )
    bridges = re.split(r"(?=^ *bridge\()", head, flags=re.MULTILINE)
    return "".join(sorted(bridges)) + f"{line}{runs}\n{tail}".rstrip("\n")
