"""The text of data-path actions: `set(eth(dst=00:11:22:33:44:55)),push_vlan(vid=10,pcp=0),2`.

The syntax of ovs-dpctl(8), as `dpctl/dump-flows` and the last line of ofproto/trace print it. No
actions at all are `drop`.

A `Userspace` action shows the first members of its cookie, which has this shape by kind (a longer
cookie keeps the rest to itself; a shorter one shows less):

* controller: reason, dont_send, continuation, recirc_id, rule_cookie, controller_id, max_len
* slow_path: the reason as a word ("action", "lacp", "cfm", "bfd", "stp", "lldp", "match")
* sflow: VLAN id, priority, output
* ipfix: output port
* flow_sample: probability, collector_set_id, obs_domain_id, obs_point_id, output_port, direction
  ("", "ingress" or "egress")
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from netloom.datapath import actions as dp
from netloom.datapath.ct_text import format_ct
from netloom.datapath.tunnel_text import format_header
from netloom.flow.address import format_mac
from netloom.flow.fields import SLOT
from netloom.flow.odp_text import format_odp_attribute
from netloom.packet.headers import NSH_MD_TYPE1, NSH_MD_TYPE2

PortNames = Mapping[int, str]

_LABEL = SLOT["mpls_lse0"].mask

#: kind -> (word, members: name and whether it is hexadecimal).
USERSPACE: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "controller": (
        "controller",
        (
            ("reason", "d"),
            ("dont_send", "d"),
            ("continuation", "d"),
            ("recirc_id", "d"),
            ("rule_cookie", "x"),
            ("controller_id", "d"),
            ("max_len", "d"),
        ),
    ),
    "slow_path": ("slow_path", (("", "w"),)),
    "sflow": ("sFlow", (("vid", "d"), ("pcp", "d"), ("output", "d"))),
    "ipfix": ("ipfix", (("output_port", "d"),)),
    "flow_sample": (
        "flow_sample",
        (
            ("probability", "d"),
            ("collector_set_id", "d"),
            ("obs_domain_id", "d"),
            ("obs_point_id", "d"),
            ("output_port", "d"),
            ("", "w"),
        ),
    ),
}


def format_actions(actions: dp.DpActions, port_names: PortNames | None = None) -> str:
    """The text of `actions`; `port_names` are by data-path port number."""
    if not actions:
        return "drop"
    return ",".join([_FORMATTERS[type(action)](action, port_names) for action in actions])


def _hex(value: int) -> str:
    return f"{value:#x}" if value else "0"


def _output(action: dp.Output, port_names: PortNames | None) -> str:
    name = port_names.get(action.port) if port_names else None
    return str(action.port) if name is None else name


def _userspace(action: dp.Userspace, port_names: PortNames | None) -> str:
    word, members = USERSPACE.get(action.kind, ("", ()))
    if not word:
        return "userspace(pid=0)"
    shown = []
    for (name, form), value in zip(members, action.cookie, strict=False):
        if form == "w":
            if value or word == "slow_path":
                shown.append(str(value or "0"))
            continue
        number = int(value)  # type: ignore[call-overload]
        shown.append(f"{name}={_hex(number) if form == 'x' else number}")
    more = ",actions" if action.with_actions else ""
    if action.tunnel_out_port >= 0:
        more += f",tunnel_out_port={_port_name(action.tunnel_out_port, port_names)}"
    return f"userspace(pid=0,{word}({','.join(shown)}){more})"


def _push_vlan(action: dp.PushVlan, port_names: PortNames | None) -> str:
    tpid = "" if action.tpid == 0x8100 else f"tpid=0x{action.tpid:04x},"
    cfi = "" if action.tci & 0x1000 else ",cfi=0"
    return f"push_vlan({tpid}vid={action.tci & 0xFFF},pcp={action.tci >> 13 & 7}{cfi})"


def _push_mpls(action: dp.PushMpls, port_names: PortNames | None) -> str:
    lse = action.lse
    label = f"label={lse >> 12},tc={lse >> 9 & 7},ttl={lse & 0xFF},bos={lse >> 8 & 1}"
    return f"push_mpls({label},eth_type={action.ethertype:#x})"


def _add_mpls(action: dp.AddMpls, port_names: PortNames | None) -> str:
    return "add" + _push_mpls(dp.PushMpls(action.ethertype, action.lse), None).removeprefix("push")


def _push_nsh(action: dp.PushNsh, port_names: PortNames | None) -> str:
    words = f"flags={action.flags},ttl={action.ttl},mdtype={action.md_type},np={action.protocol}"
    words += f",spi={action.path >> 8:#x},si={action.path & 0xFF}"
    if action.md_type == NSH_MD_TYPE1:
        for n in range(4):
            words += f",c{n + 1}=0x{int.from_bytes(action.context[4 * n : 4 * n + 4], 'big'):x}"
    elif action.md_type == NSH_MD_TYPE2:
        digits = action.context.hex().lstrip("0")
        words += f",md2={f'0x{digits}' if digits else 0}"
    return f"push_nsh({words})"


def _sample(action: dp.Sample, port_names: PortNames | None) -> str:
    share = 100 * action.probability / 0xFFFFFFFF
    return f"sample(sample={share:.1f}%,actions({format_actions(action.actions, port_names)}))"


def _psample(action: dp.Psample) -> str:
    digits = action.cookie.hex().lstrip("0")
    cookie = f",cookie={f'0x{digits}' if digits else 0}" if action.cookie else ""
    return f"psample(group={action.group}{cookie})"


def _check_pkt_len(action: dp.CheckPktLen, port_names: PortNames | None) -> str:
    greater = format_actions(action.if_greater, port_names)
    less = format_actions(action.if_less, port_names)
    return f"check_pkt_len(size={action.max_len},gt({greater}),le({less}))"


def _port_name(port: int, port_names: PortNames | None) -> str:
    return (port_names or {}).get(port, str(port))


def _push_eth(action: dp.PushEth, port_names: PortNames | None) -> str:
    return f"push_eth(src={format_mac(action.src)},dst={format_mac(action.dst)})"


def _tunnel_push(action: dp.TunnelPush, port_names: PortNames | None) -> str:
    header = format_header(action.header, action.type)
    return (
        f"tnl_push(tnl_port({_port_name(action.tunnel_port, port_names)}),"
        f"header(size={len(action.header)},type={action.type},{header}),"
        f"out_port({_port_name(action.out_port, port_names)}))"
    )


def _format_set(action: dp.Set) -> str:
    if action.header == dp.KNOWN_LABEL:
        return f"set({format_odp_attribute('mpls', action.value, _LABEL)})"
    return f"set({format_odp_attribute(action.header, action.value, action.mask)})"


_FORMATTERS: dict[type[dp.DpAction], Callable[[Any, PortNames | None], str]] = {
    dp.Output: _output,
    dp.Userspace: _userspace,
    dp.Set: lambda a, _: _format_set(a),
    dp.PushVlan: _push_vlan,
    dp.PopVlan: lambda a, _: "pop_vlan",
    dp.PushMpls: _push_mpls,
    dp.PopMpls: lambda a, _: f"pop_mpls(eth_type={a.ethertype:#x})",
    dp.Recirc: lambda a, _: f"recirc({_hex(a.recirc_id)})",
    dp.Hash: lambda a, _: f"hash({a.algorithm}({a.basis}))",
    dp.LbOutput: lambda a, _: f"lb_output({a.bond})",
    dp.Trunc: lambda a, _: f"trunc({a.max_len})",
    dp.Clone: lambda a, names: f"clone({format_actions(a.actions, names)})",
    dp.Sample: _sample,
    dp.Psample: lambda a, _: _psample(a),
    dp.Meter: lambda a, _: f"meter({a.meter_id})",
    dp.CheckPktLen: _check_pkt_len,
    dp.Ct: lambda a, _: format_ct(a),
    dp.CtClear: lambda a, _: "ct_clear",
    dp.DropReason: lambda a, _: "drop",
    dp.Normal: lambda a, _: "normal",
    dp.PushEth: _push_eth,
    dp.PopEth: lambda a, _: "pop_eth",
    dp.PushNsh: _push_nsh,
    dp.PopNsh: lambda a, _: "pop_nsh()",
    dp.AddMpls: _add_mpls,
    dp.TunnelPush: _tunnel_push,
    dp.TunnelPop: lambda a, names: f"tnl_pop({_port_name(a.port, names)})",
}
