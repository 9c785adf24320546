"""The switches that the programs run by themselves: what Python tells them, and reads of them.

A switch keeps its number as long as its data path is there, whichever daemon runs: its name is
written beside what is known of it. So addresses outlive a daemon, as flows do.
"""

from __future__ import annotations

import time
from struct import Struct

from netloom.datapath.ebpf.loader import Loaded
from netloom.datapath.ebpf.maps import HashMap, SharedArray
from netloom.datapath.ebpf.ports import Ports
from netloom.datapath.ebpf.spec import (
    ADDRESS,
    MAPS,
    MAX_ADDRESSES,
    MAX_MEMBERS,
    MAX_PORTS,
    MAX_SWITCHES,
    MEMBER,
    MEMBER_FLAG,
    PLACE,
    SWITCH,
    SWITCH_FLAG,
)
from netloom.datapath.switching import (
    NATIVE,
    NEVER,
    Address,
    SwitchConfig,
    SwitchMember,
    Totals,
)
from netloom.flow.hashes import hash_bytes

_SPECS = {spec.name: spec for spec in MAPS}
_U64 = Struct("<Q")
_AT = SWITCH.offsets
_NS_PER_MS = 1_000_000
_SET_BYTES = 512


class KernelSwitches:
    """See `datapath.switching.Switching`."""

    def __init__(self, loaded: Loaded, ports: Ports) -> None:
        self._switches = SharedArray(loaded.maps["switches"], _SPECS["switches"])
        self._members = SharedArray(loaded.maps["members"], _SPECS["members"])
        self._addresses = HashMap(loaded.maps["addresses"], _SPECS["addresses"])
        self._ports = ports
        #: The daemon ends, and the programs go on with what they have.
        self.leaves = False

    @property
    def is_waiting(self) -> bool:
        return bool(self._ports.left_behind)

    def supports(self, config: SwitchConfig) -> str:
        if len(config.members) > MAX_MEMBERS:
            return f"more than {MAX_MEMBERS} ports"
        if any(member.port >= MAX_PORTS for member in config.members):
            return "a port of a high number"
        if config.max_entries > MAX_ADDRESSES:
            return f"more than {MAX_ADDRESSES} addresses"
        return ""

    def number_of(self, name: str) -> int:
        data = name.encode()
        wanted = (hash_bytes(data, 1) << 32 | hash_bytes(data, 2)) or 1
        names = [self._read(number, "name") for number in range(MAX_SWITCHES)]
        for sought in (wanted, 0):
            if sought in names:
                number = names.index(sought)
                if not sought:
                    # What CPUs remember of an earlier switch of that number is older.
                    self._write(number, "version", time.monotonic_ns())
                self._write(number, "name", wanted)
                return number
        return -1

    def configure(self, number: int, config: SwitchConfig) -> None:
        for member in config.members:
            self._write_member(member)
        # Ports that are no more are not flooded to before the others are there.
        view, start = self._switches.view, number * self._switches.stride
        ports = b"".join(member.port.to_bytes(4, "little") for member in config.members)
        at = start + _AT["ports"]
        view[at : at + len(ports)] = ports
        flags = SWITCH_FLAG["FORWARDS_BPDUS"] * config.forwards_bpdus
        at = start + _AT["flags"]
        view[at : at + 8] = Struct("<II").pack(flags, len(config.members))
        self._write(number, "max_entries", config.max_entries)
        # What was decided by what was said before is not used any more.
        self._age_memories(number)

    def _write_member(self, member: SwitchMember) -> None:
        flags = MEMBER_FLAG["NO_TAGS"] * (member.tags == NEVER)
        flags |= MEMBER_FLAG["NATIVE_UNTAGGED"] * (member.tags == NATIVE)
        flags |= MEMBER_FLAG["NO_FLOOD"] * (not member.floods)
        flags |= MEMBER_FLAG["PROTECTED"] * member.is_protected
        data = Struct("<II").pack(member.vlan, flags)
        data += member.admits.to_bytes(_SET_BYTES, "little")
        data += member.carries.to_bytes(_SET_BYTES, "little")
        start = member.port * self._members.stride
        self._members.view[start : start + MEMBER.size] = data

    def remove(self, number: int) -> None:
        if self.leaves:
            return
        for key, _ in self._entries(number):
            self._addresses.delete(key)
        start = number * self._switches.stride
        self._switches.view[start : start + SWITCH.size] = bytes(SWITCH.size)

    def totals(self, number: int) -> Totals:
        return Totals(*(self._read(number, name) for name in Totals._fields))

    def addresses(self, number: int, now_ms: int) -> list[Address]:
        now_ns = time.monotonic_ns()
        found = []
        for key, value in self._entries(number):
            _, vlan, *mac = PLACE.unpack_from(key)
            port, is_static, used_ns = ADDRESS.unpack_from(value)
            age_ms = max(now_ns - used_ns, 0) // _NS_PER_MS
            number_ = int.from_bytes(bytes(mac), "big")
            found.append(Address(number_, vlan, port, now_ms - age_ms, bool(is_static)))
        return found

    def _entries(self, number: int) -> list[tuple[bytes, bytes]]:
        prefix = number.to_bytes(4, "little")
        return [row for row in self._addresses.items() if row[0].startswith(prefix)]

    def put(self, number: int, address: Address, now_ms: int) -> None:
        if self.leaves:
            return
        self._age_memories(number)
        key = _place(number, address.mac, address.vlan)
        used_ns = time.monotonic_ns() - (now_ms - address.used_ms) * _NS_PER_MS
        value = ADDRESS.pack(address.port, int(address.is_static), max(used_ns, 0))
        try:
            # One more, which the programs did not count.
            self._addresses.put_new(key, value)
            self._add_removed(number, -1)
        except FileExistsError:
            self._addresses.put(key, value)

    def delete(self, number: int, mac: int, vlan: int) -> None:
        if not self.leaves and self._addresses.delete(_place(number, mac, vlan)):
            self._add_removed(number, 1)
            self._age_memories(number)

    def _age_memories(self, number: int) -> None:
        """Have the CPUs look into the table again."""
        self._write(number, "version", self._read(number, "version") + 1)

    def _add_removed(self, number: int, change: int) -> None:
        value = self._read(number, "removed") + change
        self._write(number, "removed", value & 0xFFFF_FFFF_FFFF_FFFF)

    def _read(self, number: int, member: str) -> int:
        at = number * self._switches.stride + _AT[member]
        return int(_U64.unpack_from(self._switches.view, at)[0])

    def _write(self, number: int, member: str, value: int) -> None:
        at = number * self._switches.stride + _AT[member]
        _U64.pack_into(self._switches.view, at, value)

    def close(self) -> None:
        self._switches.close()
        self._members.close()


def _place(number: int, mac: int, vlan: int) -> bytes:
    return PLACE.pack(number, vlan, *mac.to_bytes(6, "big"))
