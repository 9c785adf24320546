"""What ofproto/trace makes of packets that connection tracking hands back.

The trace tracks nothing: it supposes that the tracker said what `--ct-next` says (of a packet of a
new connection, without it), and that translation took the first address and port of its range.
"""

from __future__ import annotations

from netloom.base.errors import CommandError
from netloom.flow.address import format_ipv4, format_ipv6
from netloom.flow.fields import SLOT
from netloom.ofproto.translate.record import Fork
from netloom.openflow import actions as a
from netloom.openflow.action_conntrack import SRC

_STATES = ("new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat")
_BITS = {name: 1 << bit for bit, name in enumerate(_STATES)}
_NEW, _EST, _RPL, _INV, _TRK = (_BITS[name] for name in ("new", "est", "rpl", "inv", "trk"))
_DEFAULT = _TRK | _NEW
_CT_STATE, _CT_ZONE = SLOT["ct_state"], SLOT["ct_zone"]
_RECIRC_ID = SLOT["recirc_id"]
_RULE = "=" * 79


def read_state(text: str) -> int:
    """The ct_state that `--ct-next` names."""
    state = 0
    for name in text.replace(",", " ").split():
        if name not in _BITS:
            raise CommandError(f"{name}: unknown connection tracking state flag")
        state |= _BITS[name]
    faults = _faults(state)
    if faults:
        head = f"{_format_state(state)}: invalid connection state: "
        raise CommandError("\n".join([head + fault for fault in faults]))
    return state


def _faults(state: int) -> list[str]:
    found = []
    if state and not state & _TRK:
        found.append('If "trk" is unset, no other flags are set')
    if state & _INV and state & ~(_TRK | _INV):
        found.append('when "inv" is set, only "trk" may also be set')
    if state & _NEW and state & _EST:
        found.append('"new" and "est" are mutually exclusive')
    if state & _NEW and state & _RPL:
        found.append('"new" and "rpy" are mutually exclusive')
    return found


def _format_state(state: int) -> str:
    return "|".join(name for name, bit in _BITS.items() if state & bit) or "0"


def resume(fork: Fork, ct_states: list[int]) -> tuple[int, list[str]]:
    """The key of the packet that comes back, and the lines above its trace; takes the first of
    `ct_states`, if there is one."""
    head = f"recirc({_RECIRC_ID.get(fork.key):#x}) - resume conntrack with "
    if ct_states:
        state = ct_states.pop(0)
        head += f"ct_state={_format_state(state)}"
    else:
        state = _DEFAULT
        head += "default ct_state=trk|new (use --ct-next to customize)"
    key = _CT_ZONE.put(_CT_STATE.put(fork.key, state), fork.zone)
    lines = [_RULE, head]
    if fork.nat is not None:
        lines.append("Replacing src/dst IP/ports to simulate NAT:")
        lines.append(f" Initial flow: {_format_tuple(key, fork.nat)}")
        key = _translate(key, fork.nat)
        lines.append(f" Modified flow: {_format_tuple(key, fork.nat)}")
    return key, [*lines, _RULE]


def _format_tuple(key: int, nat: a.Nat) -> str:
    if not nat.family:
        return ""
    names, form = (("nw", format_ipv4), ("ipv6", _in_brackets))[nat.family == 6]
    return ",".join(
        f"{names}_{end}={form(SLOT[f'{names}_{end}'].get(key))},"
        f"tp_{end}={SLOT[f'tp_{end}'].get(key)}"
        for end in ("src", "dst")
    )


def _in_brackets(address: int) -> str:
    return f"[{format_ipv6(address)}]"


def _translate(key: int, nat: a.Nat) -> int:
    if not nat.family:
        return key
    end = "src" if nat.flags & SRC else "dst"
    key = SLOT[f"{'nw' if nat.family == 4 else 'ipv6'}_{end}"].put(key, nat.address_min)
    return SLOT[f"tp_{end}"].put(key, nat.proto_min) if nat.proto_min else key
