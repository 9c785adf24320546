"""The flows in the kernel: slots with actions and counters, masks, and hashes from keys to slots.

A flow's actions lie in one slot of the array `flows`, or in a chain of them. Nothing in a slot that
the kernel may be reading is ever changed: other actions mean other slots, to which the hash is
switched in one step; the old ones rest until no CPU can be using them any more. What they count
until then belongs to the flow still, so counters are exact also across changes.

The generation tells the programs' caches what to forget. It grows when a flow goes or changes, and
when the union of the masks does; a flow that comes only adds.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Iterable
from itertools import pairwise
from struct import Struct, pack_into

from netloom.datapath.ebpf.layout import (
    FIRST_HOT_WORD,
    N_WORDS,
    OTHER_MASK,
    decode_key,
    encode_key,
    half_shift,
    mask_halves,
)
from netloom.datapath.ebpf.loader import Loaded
from netloom.datapath.ebpf.maps import HashMap, SharedArray
from netloom.datapath.ebpf.orphans import SWITCHED
from netloom.datapath.ebpf.spec import (
    ACTION,
    CONFIG,
    COUNTER,
    FLOW,
    MAPS,
    MASK,
    MAX_CHAIN,
    MAX_MASKS,
    MAX_SLOTS,
    SIZE_CLASSES,
    SLOT_ACTIONS,
)
from netloom.datapath.ebpf.specialise import SpecialLookup, SpecialMask
from netloom.datapath.ebpf.usage import SlotUsage
from netloom.flow.fields import SLOT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

#: How long a slot rests before it is used again. No program runs longer than a few microseconds.
REST_MS: Final = 200
_SPECS: Final = {spec.name: spec for spec in MAPS}
_read_counters: Final = Struct("<QQQI").unpack_from
_U32: Final = Struct("<I")
_U64: Final = Struct("<Q")
_HITS_AT: Final = 8 * COUNTER["HITS"]
_ACTIONS_AT: Final = FLOW.offsets["actions"]
_TCP_FLAGS: Final = SLOT["tcp_flags"]
_ADDRESSES: Final = SLOT["dl_src"].mask | SLOT["dl_dst"].mask
#: Where the words begin that the programs compare of IPv4 packets, and the four bytes of ports.
RAW_WORDS: Final = (0, 8, 16, 26)
RAW_PORTS: Final = 34
#: What lies where in them (RFC 791): always Ethernet's type, version and header length, fragment
#: without the flag that forbids it, protocol; the others if a flow asks.
_RAW_ALWAYS: Final = {12: b"\xff\xff\xff", 20: b"\x3f\xff", 23: b"\xff"}
_RAW_SLOTS: Final = {
    0: "dl_dst", 6: "dl_src", 15: "nw_tos", 22: "nw_ttl", 26: "nw_src", 30: "nw_dst",
    34: "tp_src", 36: "tp_dst",
}  # fmt: skip


#: No entry of a cache is of this generation: while it is the present one, none is used or made.
_NO_GENERATION: Final = 0


#: What is before a slot's actions; images of slots that are kept.
_IMAGE_HEAD: Final = Struct("<QQQIIII")
assert _IMAGE_HEAD.size == _ACTIONS_AT
_MAX_IMAGES: Final = 1_024


class _Batch:
    """Flows for one hash: keys and values there, the flows' places among those that are put, and
    their names."""

    __slots__ = ("keys", "names", "places", "values")

    def __init__(self) -> None:
        self.keys: list[bytes] = []
        self.values: list[bytes] = []
        self.places: list[int] = []
        self.names: list[tuple[int, int]] = []


class NoRoom(Exception):
    """The kernel's tables are full; the text says which."""


class FlowCounters:
    """What flows count; `used_ns` is on the kernel's monotonic clock, 0 for never."""

    __slots__ = ("bytes", "packets", "tcp_flags", "used_ns")

    def __init__(self) -> None:
        self.packets = 0
        self.bytes = 0
        self.used_ns = 0
        self.tcp_flags = 0

    def add(self, packets: int, n_bytes: int, used_ns: int, tcp_flags: int) -> None:
        self.packets += packets
        self.bytes += n_bytes
        self.used_ns = max(self.used_ns, used_ns)
        self.tcp_flags |= tcp_flags


class KeyMask:
    """A mask in use of keys: its stable number, which hash its flows are in, what they pack."""

    __slots__ = ("_head", "_n_bytes", "_padding", "_pick", "halves", "id", "mask", "n_flows",
                 "size_class")  # fmt: skip

    def __init__(self, number: int, mask: int) -> None:
        self.id = number
        self.mask = mask
        self.halves = mask_halves(mask)
        self.n_flows = 0
        self.size_class = next(n for n, room in enumerate(SIZE_CLASSES) if len(self.halves) <= room)
        self._head = _U32.pack(number)
        self._padding = bytes(4 * (SIZE_CLASSES[self.size_class] - len(self.halves)))
        #: A key under the mask has so many bytes; of these, the halves.
        self._n_bytes = 4 * (-(-mask.bit_length() // 32))
        starts = [self._n_bytes - 4 - half_shift(n) // 8 for n, _ in self.halves]
        gaps = [at - before - 4 for before, at in pairwise([-4, *starts])]
        self._pick = Struct("".join(f"{gap}x4s" for gap in gaps)).unpack_from

    def pack(self, masked: int) -> bytes:
        """The hash key of a flow's key under the mask: number, halves of words, zeros."""
        data = masked.to_bytes(self._n_bytes, "big")
        return b"".join((self._head, *self._pick(data), self._padding))

    def unpack(self, hash_key: bytes) -> int:
        """The key under the mask, of what `pack` made."""
        data = bytearray(8 * N_WORDS)
        for number, (index, _) in enumerate(self.halves):
            data[4 * index : 4 * index + 4] = hash_key[4 * number + 4 : 4 * number + 8]
        return decode_key(bytes(data))


class KernelFlow:
    """A flow that the kernel has. `carried` is what slots counted that are in use no more, if there
    were any."""

    __slots__ = ("carried", "hash_key", "mask", "resting", "slots")

    def __init__(self, mask: KeyMask, hash_key: bytes) -> None:
        self.mask = mask
        self.hash_key = hash_key
        self.slots: list[int] = []
        self.resting: list[int] = []
        self.carried: FlowCounters | None = None


class FlowTable:
    """The flows of one data path, named by (key & mask, mask)."""

    def __init__(self, loaded: Loaded) -> None:
        self._config = SharedArray(loaded.maps["config"], _SPECS["config"])
        self._slots = SharedArray(loaded.maps["flows"], _SPECS["flows"])
        self._mask_array = SharedArray(loaded.maps["masks"], _SPECS["masks"])
        self._counters = SharedArray(loaded.maps["counters"], _SPECS["counters"])
        self._hashes = [
            HashMap(loaded.maps[f"keys_{number}"], _SPECS[f"keys_{number}"])
            for number in range(len(SIZE_CLASSES))
        ]
        self._flows: dict[tuple[int, int], KernelFlow] = {}
        self._masks: dict[int, KeyMask] = {}
        self._lookup = SpecialLookup(loaded)
        # Slot 0 is none: it ends a chain.
        self._free: deque[int] = deque()
        self._free_masks: deque[int] = deque()
        self._resting: deque[tuple[int, KernelFlow | None, list[int]]] = deque()
        view = self._config.view
        # 0 is the generation of cache entries that nobody has written.
        self._generation = int(_U32.unpack_from(view, CONFIG.offsets["generation"])[0])
        self._usage = SlotUsage(self._slots)
        #: What of the first bytes of packets is compared.
        self._raw = -1
        #: By the identity of records, which are kept so that nothing else gets it: what a slot with
        #: them holds at first.
        self._same: dict[int, tuple[list[bytes], bytes]] = {}
        #: The flows by their first slots.
        self._by_slot: dict[int, tuple[int, int]] = {}
        self._next_generation()
        self.set_vlan_limit(1)
        self._adopt()
        self._publish_masks()

    def __len__(self) -> int:
        return len(self._flows)

    def set_vlan_limit(self, limit: int) -> None:
        """How many tags of a packet its key has."""
        self._write_config("vlan_limit", limit)

    @property
    def n_masks(self) -> int:
        return len(self._masks)

    def close(self) -> None:
        for array in (self._config, self._slots, self._mask_array, self._counters):
            array.close()

    def _adopt(self) -> None:
        """Take over the flows that the maps already hold. What their actions mean only the kernel
        knows; their keys, masks and counters are read back."""
        n_masks = _U32.unpack_from(self._config.view, CONFIG.offsets["n_masks"])[0]
        at = CONFIG.offsets["order"]
        numbers = [
            _U32.unpack_from(self._config.view, at + 4 * n)[0]
            for n in range(min(n_masks, MAX_MASKS))
        ]
        masks = {number: KeyMask(number, self._read_mask(number)) for number in numbers}
        used = {0}
        for hash_map in self._hashes:
            for hash_key, value in hash_map.items():
                entry = masks.get(_U32.unpack_from(hash_key)[0])
                if entry is None:
                    hash_map.delete(hash_key)
                    continue
                flow = KernelFlow(entry, hash_key)
                flow.slots = self._chain(_U32.unpack(value)[0])
                used.update(flow.slots)
                entry.n_flows += 1
                self._flows[entry.unpack(hash_key), entry.mask] = flow
        self._masks = {entry.mask: entry for entry in masks.values() if entry.n_flows}
        self._free_masks = deque(
            sorted(set(range(MAX_MASKS)) - {entry.id for entry in self._masks.values()})
        )
        self._free = deque(slot for slot in reversed(range(MAX_SLOTS)) if slot not in used)
        for name, flow in self._flows.items():
            self._by_slot[flow.slots[0]] = name
            self._usage.started(flow.slots[0])

    def _read_mask(self, number: int) -> int:
        values = MASK.unpack_from(self._mask_array.view, number * self._mask_array.stride)
        n_halves, bits = values[1], values[-2 * N_WORDS :]
        index = values[3 : -2 * N_WORDS]
        data = bytearray(8 * N_WORDS)
        for n in range(n_halves):
            if not bits[n]:
                break
            _U32.pack_into(data, 4 * index[n], bits[n])
        return decode_key(bytes(data))

    def _chain(self, slot: int) -> list[int]:
        slots: list[int] = []
        at = FLOW.offsets["next"]
        while slot and len(slots) < MAX_CHAIN:
            slots.append(slot)
            slot = _U32.unpack_from(self._slots.view, slot * self._slots.stride + at)[0]
        return slots

    # Changes

    def put(self, key: int, mask: int, records: list[bytes], now_ms: int) -> None:
        """Add a flow, or give it other actions. Raises NoRoom; then the flow is not there."""
        self.put_many([(key, mask, records)], now_ms)

    def put_many(self, flows: Iterable[tuple[int, int, list[bytes]]], now_ms: int) -> list[int]:
        """Add or change flows; returns the places in `flows` of those for which there was no
        room."""
        batches: dict[int, _Batch] = {}
        failed: list[int] = []
        changed = False
        for place, (key, mask, records) in enumerate(flows):
            name = (key & mask, mask)
            try:
                slots = self._write_slots(records)
            except NoRoom:
                failed.append(place)
                self.delete(key, mask, now_ms)
                continue
            flow = self._flows.get(name)
            if flow is None:
                try:
                    entry = self._hold_mask(mask)
                except NoRoom:
                    self._free.extend(slots)
                    failed.append(place)
                    continue
                flow = self._flows[name] = KernelFlow(entry, entry.pack(name[0]))
            else:
                flow.resting += flow.slots
                self._resting.append((now_ms, flow, flow.slots))
                changed = True
            flow.slots = slots
            self._by_slot[slots[0]] = name
            size_class = flow.mask.size_class
            batch = batches.get(size_class)
            if batch is None:
                batch = batches[size_class] = _Batch()
            batch.keys.append(flow.hash_key)
            batch.values.append(_U32.pack(slots[0]))
            batch.places.append(place)
            batch.names.append(name)
        for size_class, batch in batches.items():
            failed += self._put_batch(size_class, batch, now_ms)
        if changed:
            self._next_generation()
        return failed

    def _put_batch(self, size_class: int, batch: _Batch, now_ms: int) -> list[int]:
        """Put the keys of flows into their hash; the places of those for which the kernel had no
        memory, which are taken back."""
        hash_map = self._hashes[size_class]
        try:
            hash_map.put_many(batch.keys, batch.values)
        except OSError as error:
            if not is_full(error):
                raise
        else:
            return []
        failed = []
        for number, name in enumerate(batch.names):
            try:
                hash_map.put(batch.keys[number], batch.values[number])
            except OSError as error:
                if not is_full(error):
                    raise
                failed.append(batch.places[number])
                self.delete(name[0], name[1], now_ms)
        return failed

    def delete(self, key: int, mask: int, now_ms: int) -> FlowCounters | None:
        """Remove a flow; its last counters, or None if it is not here."""
        flow = self._flows.pop((key & mask, mask), None)
        if flow is None:
            return None
        self._hashes[flow.mask.size_class].delete(flow.hash_key)
        self._drop_mask(flow.mask)
        self._next_generation()
        counters = self._counters_of(flow)
        # Those that rested before are freed when their time comes.
        flow.resting = []
        self._resting.append((now_ms, None, flow.slots))
        return counters

    def clear(self, now_ms: int) -> None:
        for key, mask in list(self._flows):
            self.delete(key, mask, now_ms)

    def reclaim(self, now_ms: int) -> None:
        """Free the slots that have rested."""
        while self._resting and self._resting[0][0] + REST_MS <= now_ms:
            _, flow, slots = self._resting.popleft()
            for slot in slots:
                if flow is not None and slot in flow.resting:
                    flow.resting.remove(slot)
                    if flow.carried is None:
                        flow.carried = FlowCounters()
                    flow.carried.add(*self._read_slot(slot))
                self._by_slot.pop(slot, None)
                self._free.append(slot)

    def take_used(self) -> set[tuple[int, int]]:
        """The flows that were used since the last time."""
        names = {self._by_slot.get(slot) for slot in self._usage.take()}
        return {name for name in names if name is not None and name in self._flows}

    def _write_slots(self, records: list[bytes]) -> list[int]:
        """Put the records into free slots, chained."""
        if len(records) <= SLOT_ACTIONS and self._free:
            return [self._write_slot(records, 0)]
        parts = [records[at : at + SLOT_ACTIONS] for at in range(0, len(records), SLOT_ACTIONS)]
        if len(self._free) < max(len(parts), 1):
            raise NoRoom("flows")
        # The last comes first: each knows where its part goes on.
        slots: list[int] = []
        after = 0
        for part in reversed(parts):
            after = self._write_slot(part, after)
            slots.insert(0, after)
        return slots

    def _write_slot(self, records: list[bytes], after: int) -> int:
        """Put records into a free slot, which goes on in `after` (0: it does not)."""
        # One that was in use last: the fewer different ones, the better for every cache.
        slot = self._free.pop()
        view, stride = self._slots.view, self._slots.stride
        start = slot * stride
        gone = _U64.unpack_from(view, start)[0]
        if gone:
            _U64.pack_into(self._counters.view, _HITS_AT, self._gone_hits() + gone)
        view[start : start + stride] = self._image(records, after)
        self._usage.started(slot)
        return slot

    def _image(self, records: list[bytes], after: int) -> bytes:
        """What a slot holds that has counted nothing, and which one it goes on in (0 for none)."""
        if not after:
            same = self._same.get(id(records))
            if same is not None and same[0] is records:
                return same[1]
        body = b"".join(records)
        head = _IMAGE_HEAD.pack(0, 0, 0, 0, len(records), after, 0)
        image = (head + body).ljust(self._slots.stride, b"\0")
        if not after:
            if len(self._same) >= _MAX_IMAGES:
                self._same.clear()
            self._same[id(records)] = records, image
        return image

    # Masks

    def _hold_mask(self, mask: int) -> KeyMask:
        """The entry of `mask`, made if there is none, with one flow more."""
        entry = self._masks.get(mask)
        if entry is None:
            if not self._free_masks:
                raise NoRoom("masks")
            entry = self._masks[mask] = KeyMask(self._free_masks.popleft(), mask)
            self._lookup.changed(is_new=True)
            self._write_mask(entry)
            self._publish_masks()
        entry.n_flows += 1
        return entry

    def _drop_mask(self, entry: KeyMask) -> None:
        entry.n_flows -= 1
        if not entry.n_flows:
            del self._masks[entry.mask]
            self._free_masks.append(entry.id)
            self._lookup.changed(is_new=False)
            self._publish_masks()

    def _write_mask(self, entry: KeyMask) -> None:
        data = bytearray(MASK.size)
        # What fills the hash key up is written as well: halves under masks of 0.
        pack_into("<II", data, 0, entry.size_class, SIZE_CLASSES[entry.size_class])
        for number, (index, bits) in enumerate(entry.halves):
            data[MASK.offsets["index"] + number] = index
            _U32.pack_into(data, MASK.offsets["bits"] + 4 * number, bits)
        start = entry.id * self._mask_array.stride
        self._mask_array.view[start : start + MASK.size] = data

    def _hits(self, entry: KeyMask) -> int:
        at = entry.id * self._mask_array.stride + MASK.offsets["hits"]
        return int(_U64.unpack_from(self._mask_array.view, at)[0])

    def sort_masks(self) -> None:
        """Have the masks that were hit most asked first."""
        order = sorted(self._masks.values(), key=self._hits, reverse=True)
        if list(self._masks.values()) != order:
            self._masks = {entry.mask: entry for entry in order}
            self._lookup.changed(is_new=False)
            self._publish_masks()

    def specialise(self, now_ms: int) -> None:
        """Have a program for the masks in use, if they have not changed for a moment."""
        self._lookup.run(self._special_masks, now_ms)

    @property
    def has_special_lookup(self) -> bool:
        return self._lookup.is_there

    def _special_masks(self) -> list[SpecialMask]:
        return [SpecialMask(m.id, m.size_class, m.halves) for m in self._masks.values()]

    def _publish_masks(self) -> None:
        """Tell the programs the masks, in order, and the union of them."""
        union = 0
        for mask in self._masks:
            union |= mask
        view = self._config.view
        at = CONFIG.offsets["order"]
        for number, entry in enumerate(self._masks.values()):
            _U32.pack_into(view, at + 4 * number, entry.id)
        self._write_config("n_masks", len(self._masks))
        data = encode_key(union)
        at = CONFIG.offsets["wanted"]
        # NORMAL's decisions are kept by the addresses of packets, which its flows do not look at.
        raw = union | _ADDRESSES if SWITCHED in self._masks else union
        if bytes(view[at : at + len(data)]) != data or raw != self._raw:
            # Entries of the caches were made by what was wanted then. A packet that is looked up
            # by anything else, be it for a moment, may be taken for another.
            self._write_config("generation", _NO_GENERATION)
            self._write_config("wants_rare", int(any(data[: 8 * FIRST_HOT_WORD])))
            self._write_raw(raw)
            self._raw = raw
            view[at : at + len(data)] = data
            self._next_generation()

    def _write_raw(self, union: int) -> None:
        """Tell the programs which of the first bytes of IPv4 packets, as they come in, any flow
        looks at."""
        frame = raw_mask(union)
        at = CONFIG.offsets["raw"]
        for number, start in enumerate(RAW_WORDS):
            self._config.view[at + 8 * number : at + 8 * number + 8] = frame[start : start + 8]
        at = CONFIG.offsets["raw_ports"]
        self._config.view[at : at + 4] = frame[RAW_PORTS : RAW_PORTS + 4]
        flags = _TCP_FLAGS.get(union).to_bytes(2, "big")
        self._write_config("raw_tcp_flags", int.from_bytes(flags, "little"))

    def forget(self) -> None:
        """Have the programs' caches look again."""
        self._next_generation()

    def _next_generation(self) -> None:
        self._generation = self._generation + 1 & 0xFFFFFFFF or 1
        self._write_config("generation", self._generation)

    def _write_config(self, member: str, value: int) -> None:
        _U32.pack_into(self._config.view, CONFIG.offsets[member], value)

    # FlowCounters

    def _read_slot(self, slot: int) -> tuple[int, int, int, int]:
        packets, n_bytes, used_ns, flags = _read_counters(
            self._slots.view, slot * self._slots.stride
        )
        return packets, n_bytes, used_ns, flags

    def _counters_of(self, flow: KernelFlow) -> FlowCounters:
        counters = FlowCounters()
        if (carried := flow.carried) is not None:
            counters.add(carried.packets, carried.bytes, carried.used_ns, carried.tcp_flags)
        counters.add(*self._read_slot(flow.slots[0]))
        for slot in flow.resting:
            counters.add(*self._read_slot(slot))
        return counters

    def hits(self) -> int:
        """Packets that found a flow, since the data path was made."""
        words = self._slots.view.cast("Q")
        total = sum(words[:: self._slots.stride // 8])
        words.release()
        return self._gone_hits() + total

    def _gone_hits(self) -> int:
        """What flows counted whose slots were used again."""
        return int(_U64.unpack_from(self._counters.view, _HITS_AT)[0])

    def has(self, key: int, mask: int) -> bool:
        return (key & mask, mask) in self._flows

    def counters(self, key: int, mask: int) -> FlowCounters | None:
        """What the flow has counted, or None if it is not here."""
        flow = self._flows.get((key & mask, mask))
        return self._counters_of(flow) if flow is not None else None

    def names(self) -> set[tuple[int, int]]:
        """(key & mask, mask) of every flow."""
        return set(self._flows)

    def operands(self, *operations: int) -> set[int]:
        """The `a32` of all records of these operations."""
        view, stride = self._slots.view, self._slots.stride
        found: set[int] = set()
        for flow in self._flows.values():
            for slot in flow.slots:
                start = slot * stride
                count = _U32.unpack_from(view, start + FLOW.offsets["n_actions"])[0]
                for at in range(start + _ACTIONS_AT, start + _ACTIONS_AT + 16 * count, 16):
                    if view[at] in operations:
                        found.add(_U32.unpack_from(view, at + ACTION.offsets["a32"])[0])
        return found


def raw_mask(union: int) -> bytes:
    """The bits of a plain TCP or UDP packet that make up its part of keys under `union`."""
    frame = bytearray(RAW_PORTS + 4)
    for at, data in _RAW_ALWAYS.items():
        frame[at : at + len(data)] = data
    for at, name in _RAW_SLOTS.items():
        slot = SLOT[name]
        frame[at : at + slot.n_bytes] = slot.get(union).to_bytes(slot.n_bytes, "big")
    return bytes(frame)


def fits(mask: int) -> str:
    """Why flows of this mask cannot be in the kernel; "" if they can."""
    if mask & OTHER_MASK:
        return "a match on fields that the kernel programs do not know"
    return ""


def is_full(error: OSError) -> bool:
    """Whether a map refused an entry for want of room."""
    return error.errno in (errno.E2BIG, errno.ENOMEM)
