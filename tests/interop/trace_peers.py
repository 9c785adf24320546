"""A switch, Debian's or ours, to put the same questions to: what goes in and what a trace tells."""

from __future__ import annotations

import re
from collections import Counter

from tests.support.peer_switch import PeerSwitch


class TracePeer(PeerSwitch):
    """A switch whose tables and ports a trace case sets up."""

    def vsctl(self, line: str) -> str:
        return self.run("ovs-vsctl", *line.split()).stdout

    def use_prefixes(self, bridge: str, fields: tuple[str, ...]) -> None:
        """Keep tries for these fields in the tables that tests use (3.1 has two by default, and
        three at most)."""
        for table in range(10):
            self.run("ovs-vsctl", "--", "--id=@t", "create", "Flow_Table",
                       f"prefixes=[{','.join(fields)}]", "--", "set", "Bridge", bridge,
                       f"flow_tables:{table}=@t")  # fmt: skip

    def ofctl(self, *words: str, stdin: str = "") -> str:
        return self.run("ovs-ofctl", "-O", "OpenFlow13", *words, stdin=stdin).stdout

    def replace_flows(self, bridge: str, flows: str) -> None:
        self.ofctl("del-flows", bridge)
        self.ofctl("add-flows", bridge, "-", stdin=flows)

    def replace_groups(self, bridge: str, groups: str) -> None:
        self.run("ovs-ofctl", "-O", "OpenFlow15", "del-groups", bridge)
        self.run("ovs-ofctl", "-O", "OpenFlow15", "add-groups", bridge, "-", stdin=groups)

    def dp_ports(self) -> dict[str, str]:
        """Data-path port number -> name, over all bridges."""
        rows = re.findall(r"^ +(\S+) \d+/(\d+):", self.control("dpif/show"), re.MULTILINE)
        return {number: name for name, number in rows}


def passes(trace: str) -> list[str]:
    """What the packet of a trace is, and what those are that come back."""
    return re.findall(r"^Flow: (.*)$", trace, re.MULTILINE)


def verdicts(trace: str) -> list[tuple[str, str]]:
    """(megaflow, data-path actions) of a trace and of the packets that come back, whose numbers are
    made the same."""
    found = re.findall(r"^Megaflow: (.*)\nDatapath actions: (.*)$", trace, re.MULTILINE)
    return [
        (
            re.sub(r"recirc_id=0x[0-9a-f]+", "recirc_id=R", megaflow),
            re.sub(r"recirc\(0x[0-9a-f]+\)", "recirc(R)", actions),
        )
        for megaflow, actions in found
    ]


def split_actions(text: str) -> list[str]:
    """Data-path actions, one by one."""
    actions, depth, start = [], 0, 0
    for at, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if char == "," and not depth:
            actions.append(text[start:at])
            start = at + 1
    return [*actions, text[start:]]


def deliveries(packet: str, actions: str, names: dict[str, str]) -> Counter[str]:
    """What leaves where, in no order: each output with the header changes made to `packet` (a
    flow of ovs-ofctl) before it. The order in which a flood visits the ports is no promise of
    either switch."""
    tagged = re.search(r"dl_vlan=(\d+),dl_vlan_pcp=(\d+)", packet)
    tags = [f"push_vlan(vid={tagged[1]},pcp={tagged[2]})"] if tagged else []
    return _deliveries(actions, names, tags, [], {})


def _deliveries(
    actions: str, names: dict[str, str], tags: list[str], labels: list[str], changes: dict[str, str]
) -> Counter[str]:
    sent: Counter[str] = Counter()
    for action in split_actions(actions):
        if action.startswith("push_vlan("):
            tags.append(action)
        elif action == "pop_vlan":
            tags.pop()
        elif action.startswith("push_mpls("):
            labels.append(action)
        elif action.startswith("pop_mpls(") and labels and labels[-1].startswith("push_mpls("):
            labels.pop()
        elif action.startswith(("pop_mpls(", "set(mpls(")):
            labels.append(action)
        elif action.startswith("clone("):
            inside = (list(tags), list(labels), dict(changes))
            sent += _deliveries(action[len("clone(") : -1], names, *inside)
        elif action.startswith("set("):
            header, _, rest = action[4:-2].partition("(")
            for change in re.findall(r"[^,]+=[^,]+", rest):
                changes[f"{header}.{change.partition('=')[0]}"] = change.partition("=")[2]
        else:
            action = re.sub(r"recirc_id=\d+,", "", action)
            header = (f"{name}={changes[name]}" for name in sorted(changes))
            state = ",".join([*tags, *labels, *header])
            sent[f"{names.get(action, action)} [{state}]"] += 1
    return sent
