"""The VLAN columns of a Port row -> `BundleSettings`: which defaults and fall-backs apply.

* `vlan_mode` empty: access if there is a tag, else trunk; an access port's trunks are ignored.
* A trunk port has no tag; every other mode without one has tag 0.
* A native VLAN is always among the trunks.
"""

from __future__ import annotations

from netloom.ofproto.settings import BundleSettings, StpPortSettings
from netloom.ovsdb.row import Row
from netloom.protocols.bond import BondSettings, Hint
from netloom.protocols.lacp import LacpSettings
from netloom.protocols.rstp_values import (
    MAX_PATH_COST,
    MAX_PORT_PRIORITY,
    MAX_PORTS,
    RstpPortSettings,
)
from netloom.vswitchd.addresses import parse_mac

MODES = ("access", "trunk", "native-tagged", "native-untagged", "dot1q-tunnel")
_NATIVE = ("native-tagged", "native-untagged")


class PortRules:
    """One Port row; `complaints` is what is wrong with it."""

    def __init__(self, row: Row) -> None:
        self.name = row.text("name")
        self.complaints: list[str] = []
        self._row = row
        self._config = row.mapping("other_config")

    def bundle(self, members: tuple[str, ...]) -> BundleSettings:
        row = self._row
        tag = row.opt_int("tag")
        tag = tag if tag is not None and 0 <= tag <= 4095 else -1
        trunks = frozenset(vlan for vlan in row.ints("trunks") if 0 <= vlan <= 4095)
        cvlans = frozenset(vlan for vlan in row.ints("cvlans") if 0 <= vlan <= 4095)
        mode = self._mode(tag, bool(trunks or cvlans))
        if mode == "trunk":
            tag = -1
        elif tag < 0:
            tag = 0
        if mode in ("access", "dot1q-tunnel"):
            trunks = frozenset()
        elif mode in _NATIVE and trunks:
            trunks |= {tag}
        return BundleSettings(
            name=self.name,
            members=members,
            vlan_mode=mode,
            tag=tag,
            trunks=trunks,
            cvlans=cvlans if mode == "dot1q-tunnel" else frozenset(),
            qinq_ethtype=self._qinq_ethtype(),
            priority_tags=self._priority_tags(),
            stp=self._stp(),
            rstp=self._rstp(),
            bond=self._bond() if len(members) > 1 else None,
            lacp=self._lacp(len(members)),
            protected=row.flag("protected"),
            mcast_flood=self._config.get("mcast-snooping-flood") == "true",
            mcast_flood_reports=self._config.get("mcast-snooping-flood-reports") == "true",
            other_config=tuple(sorted(self._config.items())),
        )

    def _bond(self) -> BondSettings:
        rebalance_ms = self._number("bond-rebalance-interval", 10_000, 2**31 - 1)
        mode = self._row.opt_text("bond_mode") or "active-backup"
        falls_back = self._config.get("lacp-fallback-ab") == "true"
        has_primary = mode == "active-backup" or falls_back
        primary = self._config.get("bond-primary", "") if has_primary else ""
        return BondSettings(
            mode=mode,
            fallback_ab=falls_back,
            updelay_ms=max(self._row.integer("bond_updelay"), 0),
            downdelay_ms=max(self._row.integer("bond_downdelay"), 0),
            hash_basis=self._number("bond-hash-basis", 0, 2**32 - 1),
            # Less than a second would keep moving what was just moved.
            rebalance_ms=max(rebalance_ms, 1_000) if rebalance_ms else 0,
            primary=primary,
            lb_output=self._config.get("lb-output-action") == "true",
            all_members_active=self._config.get("all-members-active") == "true",
            last_active=Hint(self._row.opt_text("bond_active_slave") or ""),
        )

    def _lacp(self, n_members: int) -> LacpSettings | None:
        """How the port speaks LACP, if it does."""
        mode = self._row.opt_text("lacp")
        if mode not in ("active", "passive"):
            return None
        config = self._config
        mac = parse_mac(config.get("lacp-system-id", ""))
        if mac is None and "lacp-system-id" in config:
            self.complaints.append("LACP system ID must be an Ethernet address")
        default = 65_535 - (n_members > 1)
        return LacpSettings(
            active=mode == "active",
            fast=config.get("lacp-time", "").lower() == "fast",
            system_id=int.from_bytes(mac or b"", "big"),
            priority=self._number("lacp-system-priority", default, 65_535) or default,
            fallback_ab=config.get("lacp-fallback-ab") == "true",
        )

    def _stp(self) -> StpPortSettings | None:
        """How the port takes part in STP; values out of range are as if they were not there."""
        if self._config.get("stp-enable") == "false":
            return None
        number = self._number("stp-port-num", 0, 255)
        if number == 0 and "stp-port-num" in self._config:
            self.complaints.append("invalid stp-port-num")
            return None
        return StpPortSettings(
            number,
            self._number("stp-port-priority", 128, 255),
            self._number("stp-path-cost", 0, 65_535),
        )

    def _rstp(self) -> RstpPortSettings | None:
        """How the port takes part in RSTP; values out of range are as if they were not there."""
        if not self._flag("rstp-enable", True):
            return None
        number = self._number("rstp-port-num", 0, MAX_PORTS)
        if number == 0 and "rstp-port-num" in self._config:
            self.complaints.append("invalid rstp-port-num")
            return None
        return RstpPortSettings(
            number=number,
            priority=self._number("rstp-port-priority", 128, MAX_PORT_PRIORITY),
            cost=self._number("rstp-path-cost", 0, MAX_PATH_COST),
            admin_edge=self._flag("rstp-port-admin-edge", False),
            auto_edge=self._flag("rstp-port-auto-edge", True),
            mcheck=self._flag("rstp-port-mcheck", False),
            is_enabled=self._flag("rstp-admin-port-state", True),
            point_to_point=self._number("rstp-admin-p2p-mac", 1, 2) == 1,
        )

    def _flag(self, key: str, default: bool) -> bool:
        text = self._config.get(key, "").lower()
        return text == "true" if text in ("true", "false") else default

    def _number(self, key: str, default: int, most: int) -> int:
        text = self._config.get(key, "")
        return int(text) if text.isascii() and text.isdigit() and int(text) <= most else default

    def _mode(self, tag: int, has_trunks: bool) -> str:
        mode = self._row.opt_text("vlan_mode")
        if mode is None:
            if tag >= 0 and has_trunks:
                self.complaints.append("ignoring trunks in favor of implicit vlan")
            return "access" if tag >= 0 else "trunk"
        if mode not in MODES:
            self.complaints.append(f"unknown VLAN mode {mode}, falling back to trunk mode")
            return "trunk"
        return mode

    def _qinq_ethtype(self) -> int:
        text = self._config.get("qinq-ethtype", "802.1ad")
        if text == "802.1q":
            return 0x8100
        if text != "802.1ad":
            self.complaints.append(
                f'other_config:qinq-ethtype: "{text}" is neither 802.1ad nor 802.1q, using 802.1ad'
            )
        return 0x88A8

    def _priority_tags(self) -> str:
        text = self._config.get("priority-tags", "never")
        # Open vSwitch had a boolean here once.
        known = {
            "never": "no-tag",
            "no-tag": "no-tag",
            "false": "no-tag",
            "if-nonzero": "if-nonzero",
            "true": "if-nonzero",
            "always": "always",
        }
        if text not in known:
            self.complaints.append(
                f'other_config:priority-tags: "{text}" is not one of always, if-nonzero, never, '
                "using never"
            )
        return known.get(text, "no-tag")
