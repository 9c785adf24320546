"""`bond/*`: the bonds of all bridges, shown and steered."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from netloom.base.errors import CommandError
from netloom.protocols.bond import BUCKETS, Bond, Member

if TYPE_CHECKING:
    from netloom.ofproto.bridge import Ofproto

Row = tuple[str, str, int, int, Callable[[list[str]], str]]


class BondCommands:
    """The commands over the bridges that `bridges` returns."""

    def __init__(self, bridges: Callable[[], list[Ofproto]], now_ms: Callable[[], int]) -> None:
        self._bridges = bridges
        self._now_ms = now_ms

    def commands(self) -> list[Row]:
        """Name, usage, least and most arguments, handler."""
        return [
            ("bond/disable-member", "port member", 2, 2, self._disable),
            ("bond/enable-member", "port member", 2, 2, self._enable),
            ("bond/list", "", 0, 0, self._list),
            ("bond/migrate", "port hash member", 3, 3, self._migrate),
            ("bond/set-active-member", "port member", 2, 2, self._set_active),
            ("bond/show", "[port]", 0, 1, self._show),
        ]

    def _all(self) -> dict[str, Bond]:
        return {
            name: bundle.bond
            for bridge in self._bridges()
            for name, bundle in sorted(bridge.bundles.items())
            if bundle.bond is not None
        }

    def _bond(self, name: str) -> Bond:
        bond = self._all().get(name)
        if bond is None:
            raise CommandError("no such bond")
        return bond

    def _recirc_id(self, name: str) -> int:
        """By which number packets come back to be spread; 0 for none."""
        found = (bridge.spreading.recirc_id(name) for bridge in self._bridges())
        return next((number for number in found if number), 0)

    def _lb_output(self, bond: Bond) -> int:
        """The number of the bond in the data path, if that chooses members; else -1."""
        for bridge in self._bridges():
            bundle = bridge.bundles.get(bond.name)
            if bundle is not None and bundle.bond is bond and bridge.spreading.is_in_datapath(bond):
                return bridge.spreading.recirc_id(bond.name)
        return -1

    def _member(self, args: list[str]) -> tuple[Bond, Member]:
        bond = self._bond(args[0])
        member = bond.members.get(args[1])
        if member is None:
            raise CommandError("no such member")
        return bond, member

    def _list(self, args: list[str]) -> str:
        lines = ["bond\ttype\trecircID\tmembers\n"]
        for name, bond in self._all().items():
            row = (name, bond.settings.mode, str(self._recirc_id(name)), ", ".join(bond.members))
            lines.append("\t".join(row) + "\n")
        return "".join(lines)

    def _show(self, args: list[str]) -> str:
        chosen = [self._bond(args[0])] if args else list(self._all().values())
        return "".join(map(self._describe, chosen))

    def _describe(self, bond: Bond) -> str:
        settings, now_ms = bond.settings, self._now_ms()
        number = self._lb_output(bond)
        recirc_id = 0 if bond.falls_back else self._recirc_id(bond.name)
        lines = [
            f"---- {bond.name} ----",
            f"bond_mode: {settings.mode}",
            f"bond may use recirculation: {_recirculation(recirc_id)}",
            f"bond-hash-basis: {settings.hash_basis}",
            f"lb_output action: {'disabled' if number < 0 else 'enabled'}, bond-id: {number}",
        ]
        if settings.mode == "balance-slb":
            lines.append(f"all members active: {str(settings.all_members_active).lower()}")
        lines += [f"updelay: {settings.updelay_ms} ms", f"downdelay: {settings.downdelay_ms} ms"]
        if bond.is_balanced and settings.rebalance_ms:
            lines.append(f"next rebalance: {bond.next_rebalance_ms - now_ms} ms")
        lines += [
            f"lacp_status: {bond.lacp_status}",
            f"lacp_fallback_ab: {str(bond.settings.fallback_ab).lower()}",
            f"active-backup primary: {_primary(bond)}",
            f"active member mac: {_active(bond)}",
        ]
        loads = bond.loads() if bond.is_balanced else {}
        for name, member in sorted(bond.members.items()):
            lines += ["", *_member_lines(bond, member, now_ms)]
            lines += [
                f"  hash {n}: {size // 1_024} kB load" for n, size in loads.get(name, {}).items()
            ]
        return "\n".join(lines) + "\n\n"

    def _migrate(self, args: list[str]) -> str:
        bond = self._bond(args[0])
        if bond.settings.mode != "balance-slb":
            raise CommandError("not an SLB bond")
        if not args[1].isascii() or not args[1].isdigit():
            raise CommandError("bad hash")
        bond, member = self._member([args[0], args[2]])
        if not member.enabled:
            raise CommandError("cannot migrate to disabled member")
        bond.migrate(int(args[1]) % BUCKETS, member)
        return "migrated"

    def _set_active(self, args: list[str]) -> str:
        bond, member = self._member(args)
        if not member.enabled:
            raise CommandError("cannot make disabled member active")
        was_active = bond.active is member
        bond.set_active(member)
        return "no change" if was_active else "done"

    def _enable(self, args: list[str]) -> str:
        bond, member = self._member(args)
        bond.enable(member, True, self._now_ms())
        return "enabled"

    def _disable(self, args: list[str]) -> str:
        bond, member = self._member(args)
        bond.enable(member, False, self._now_ms())
        return "disabled"


def _recirculation(recirc_id: int) -> str:
    return f"yes, Recirc-ID : {recirc_id}" if recirc_id else "no, Recirc-ID : -1"


def _primary(bond: Bond) -> str:
    name = bond.settings.primary
    if not name:
        return "<none>"
    return name if name in bond.members else f"{name} (no such member)"


def _active(bond: Bond) -> str:
    if bond.active is None:
        return "00:00:00:00:00:00(none)"
    return f"{bond.active.mac}({bond.active.name})"


def _member_lines(bond: Bond, member: Member, now_ms: int) -> list[str]:
    lines = [f"member {member.name}: {'enabled' if member.enabled else 'disabled'}"]
    if bond.active is member:
        lines.append("  active member")
    if member.delay_due_ms is not None:
        which = "downdelay" if member.enabled else "updelay"
        lines.append(f"  {which} expires in {member.delay_due_ms - now_ms} ms")
    lines.append(f"  may_enable: {str(member.may_enable).lower()}")
    return lines
