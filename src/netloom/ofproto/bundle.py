"""Bundles: what VLANs are set on, and how a packet's tags change on its way in and out.

Inside a bridge every packet belongs to a VLAN: `Tags.vid` of its outer tag, 0 for none. What a tag
on the wire means depends on the bundle's `vlan_mode` (ovs-vswitchd.conf.db(5), Port table):
`Bundle.refusal`, `Bundle.input_tags`, `Bundle.carries`, `Bundle.output_tags`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netloom.base.record import Record
from netloom.ofproto.liveness import is_usable
from netloom.ofproto.ports import OfPort
from netloom.ofproto.settings import BundleSettings
from netloom.openflow.messages import OFPPC_NO_FLOOD
from netloom.protocols.bond import Bond

if TYPE_CHECKING:
    from netloom.ofproto.aggregation import Aggregation

ETH_VLAN: Final = 0x8100
_CFI: Final = 0x1000
_VID: Final = 0x0FFF
PCP: Final = 0xE000


class Tag(Record):
    """One VLAN tag; `vid` 0 with `pcp` 0 is no tag (with a priority, a priority tag). `pcp` is in
    its place in the TCI (0xe000)."""

    tpid: int = 0
    vid: int = 0
    pcp: int = 0


NO_TAG: Final = Tag()
#: Outer and inner tag.
Tags = tuple[Tag, Tag]


def read_tag(tpid: int, tci: int) -> Tag:
    return Tag(tpid, tci & _VID, tci & PCP) if tci & _CFI else NO_TAG


class Bundle:
    """A group of ports; identity, not value, is what the MAC table compares."""

    __slots__ = ("_bond_changes", "bond", "members", "settings")

    def __init__(self, settings: BundleSettings) -> None:
        self.settings = settings
        self.members: list[OfPort] = []
        self.bond: Bond | None = None
        #: What the bond's `changes` were when it last ran; commands may change it in between.
        self._bond_changes = 0

    @property
    def name(self) -> str:
        return self.settings.name

    def run_bond(self, aggregation: Aggregation, now_ms: int) -> bool:
        """Have the bond follow its members' links; True if packets may go other ways now."""
        settings = self.settings.bond
        if settings is None or not self.members:
            self.bond = None
            return False
        links = {}
        for port in self.members:
            up, mac = port.link()
            links[port.name] = is_usable(port, up), mac
        if self.bond is None:
            self.bond = Bond(self.name, settings, now_ms)
            self._bond_changes = self.bond.changes
        self.bond.set_lacp_status(aggregation.status(self.name))
        if settings != self.bond.settings or links.keys() != self.bond.members.keys():
            self.bond.configure(settings, links, now_ms)
        self.bond.run(links, now_ms)
        before, self._bond_changes = self._bond_changes, self.bond.changes
        return self.bond.changes != before

    @property
    def is_floodable(self) -> bool:
        return not any(port.config & OFPPC_NO_FLOOD or port.is_layer3 for port in self.members)

    def _trunks(self, vid: int) -> bool:
        settings = self.settings
        if settings.vlan_mode.startswith("native"):
            # The native VLAN is always carried, and with it there is no VLAN 0.
            return vid == settings.tag or (
                vid != 0 and (not settings.trunks or vid in settings.trunks)
            )
        return not settings.trunks or vid in settings.trunks

    def _allows_customer(self, vid: int) -> bool:
        return not self.settings.cvlans or vid in self.settings.cvlans

    def refusal(self, vid: int) -> str:
        """Why a packet whose outer tag has `vid` may not come in here; "" if it may."""
        mode = self.settings.vlan_mode
        if mode == "access":
            if vid:
                return (
                    f"dropping VLAN {vid} tagged packet received on port {self.name} "
                    f"configured as VLAN {self.settings.tag} access port"
                )
            return ""
        if mode == "dot1q-tunnel":
            if not self._allows_customer(vid):
                return (
                    f"dropping VLAN {vid} packet received on dot1q-tunnel port {self.name} "
                    "that excludes this VLAN"
                )
            return ""
        if (vid or mode == "trunk") and not self._trunks(vid):
            return (
                f"dropping VLAN {vid} packet received on port {self.name} "
                f"not configured for trunking VLAN {vid}"
            )
        return ""

    def input_tags(self, tags: Tags) -> Tags:
        """The packet's tags inside the bridge, of those that it came in with."""
        settings, outer = self.settings, tags[0]
        if settings.vlan_mode == "access":
            return Tag(outer.tpid or ETH_VLAN, max(settings.tag, 0), outer.pcp), NO_TAG
        if settings.vlan_mode == "dot1q-tunnel":
            return Tag(settings.qinq_ethtype, max(settings.tag, 0), 0), outer
        if settings.vlan_mode != "trunk" and not outer.vid:
            return Tag(outer.tpid or ETH_VLAN, settings.tag, outer.pcp), tags[1]
        return tags

    def carries(self, tags: Tags) -> bool:
        """Does a flooded packet with these inside tags go out here?"""
        settings, vid = self.settings, tags[0].vid
        if settings.vlan_mode == "access":
            return vid == max(settings.tag, 0) and not tags[1].vid
        if settings.vlan_mode == "dot1q-tunnel":
            return vid == settings.tag and self._allows_customer(tags[1].vid)
        return self._trunks(vid)

    def output_tags(self, tags: Tags, pcp: int) -> Tags:
        """The tags that a packet with these inside tags has on this bundle's wire; `pcp` is the
        priority (in place) that it came in with, which priority tags keep."""
        settings = self.settings
        if settings.vlan_mode == "access":
            tags = NO_TAG, NO_TAG
        elif settings.vlan_mode == "dot1q-tunnel" or (
            settings.vlan_mode == "native-untagged" and tags[0].vid == settings.tag
        ):
            tags = tags[1], NO_TAG
        if settings.priority_tags == "no-tag":
            return tags
        return Tag(tags[0].tpid, tags[0].vid, pcp), tags[1]

    def wire_tci(self, tag: Tag, outermost: bool) -> int:
        """The TCI that `tag` becomes, 0 for none."""
        tci = tag.vid | tag.pcp
        always = outermost and self.settings.priority_tags == "always"
        return tci | _CFI if tci or (always and tag.tpid) else 0

    def __repr__(self) -> str:
        return f"<bundle {self.name}>"
