"""Keys between the key of the field table and what the kernel programs hold."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netloom.datapath.ebpf.flowtable import KeyMask
from netloom.datapath.ebpf.layout import (
    KERNEL_MASK,
    decode_key,
    encode_key,
    half_shift,
    mask_halves,
)
from netloom.flow.fields import KEY_BYTES, SLOT, SLOTS

#: Slots of which masks are made; most packets fill those of the first group only.
COMMON = ("in_port", "recirc_id", "dl_type", "dl_src", "dl_dst", "vlan_tci", "nw_src", "tp_dst")
RARE = ("tun_id", "tun_opts", "ipv6_src", "nd_target", "ct_label", "ct_nw_src", "arp_sha")
keys = st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES).map(
    lambda data: int.from_bytes(data, "big")
)
masks = st.sets(st.sampled_from(COMMON + RARE)).map(
    lambda names: sum(SLOT[name].mask for name in names)
)


@given(keys, masks)
def test_a_key_survives_the_way_to_the_kernel_and_back(key: int, mask: int) -> None:
    for kept in (key, key & mask):
        assert decode_key(encode_key(kept)) == kept & KERNEL_MASK


@given(keys, masks, st.booleans())
def test_the_key_of_a_hash_is_the_number_and_the_halves(key: int, mask: int, is_odd: bool) -> None:
    if is_odd:
        mask &= key >> 3 | SLOTS[-1].mask
        mask &= KERNEL_MASK
    made = KeyMask(7, mask)
    packed = made.pack(key & mask)
    halves = [(key & mask) >> half_shift(number) & 0xFFFFFFFF for number, _ in mask_halves(mask)]
    expected = b"\7\0\0\0" + b"".join(half.to_bytes(4, "big") for half in halves)
    assert packed.startswith(expected) and not any(packed[len(expected) :])
    assert made.unpack(packed) == key & mask
