"""Records of headers that go in front of packets, and what comes up of packets without Ethernet."""

from __future__ import annotations

from netloom.datapath import actions as dp
from netloom.datapath.ebpf.layer_records import layer_records
from netloom.datapath.ebpf.layout import encode_key
from netloom.datapath.ebpf.spec import ACTION, OP, UPCALL, UPCALL_RECORD
from netloom.datapath.ebpf.upcalls import decode_record, pieces
from netloom.flow.extract import extract_key
from netloom.flow.key import make_key
from netloom.packet.checksum import pseudo_sum

ACTION_FIELDS = ("op", "a8", "a16", "a32", "a64")
IPV4 = bytes.fromhex("4500001d000000004011000001020304050607080001000200090000")


def fields(record: bytes) -> tuple[int, ...]:
    return tuple(ACTION.unpack_from(record)[ACTION_FIELDS.index(name)] for name in ACTION_FIELDS)


def test_a_header_is_in_the_records_as_it_is_in_the_packet() -> None:
    context = bytes(range(1, 249))
    *data, push = map(fields, layer_records(dp.PushNsh(0, 63, 2, 3, 0x5FF, context)))
    assert push[0] == OP["PUSH_LAYER"] and push[2] == 256
    assert push[3].to_bytes(4, "little") == b"\x89\x4f\0\0"
    header = push[4].to_bytes(8, "little")
    for place, record in enumerate(data):
        assert record[0] == OP["LAYER_DATA"] and record[2] == place + 1
        header += record[4].to_bytes(8, "little")
    # 64 words are more than its six bits can count; nobody asks for so many.
    assert header == bytes.fromhex("0fc00203000005ff") + context


def test_a_header_of_an_odd_number_of_words_is_not_padded() -> None:
    *data, push = map(fields, layer_records(dp.PushNsh(0, 63, 2, 3, 0x5FF, b"abcd")))
    assert (push[2], len(data)) == (12, 1)
    assert data[0][4].to_bytes(8, "little") == b"abcd\0\0\0\0"


def test_addresses_are_in_the_order_of_the_packet() -> None:
    (record,) = map(fields, layer_records(dp.PushEth(0x010203040506, 0x0708090A0B0C)))
    data = record[4].to_bytes(8, "little") + record[3].to_bytes(4, "little")
    assert data == bytes(range(1, 13))


def record_of(packet: bytes, key: int, kind: str = "MISS") -> bytes:
    head = UPCALL_RECORD.pack(
        UPCALL[kind], 1, 0xFFFFFFFF, len(packet), 0, 0, 0, 0,
        *(int.from_bytes(encode_key(key)[at : at + 8], "little")
          for at in range(0, len(encode_key(key)), 8)),
    )  # fmt: skip
    return head + packet


def test_a_packet_without_ethernet_comes_up_without_what_was_in_front() -> None:
    bare = IPV4 + b"x"
    partial = bytearray(bare)
    partial[26:28] = pseudo_sum(bare[12:16], bare[16:20], 17, 9).to_bytes(2, "big")
    key = extract_key(bare, 0, make_key(in_port=1, packet_type=0x10800))
    record = record_of(bytes(12) + b"\x08\x00" + bytes(partial), key)
    (piece,) = pieces(decode_record(record, 1))
    assert piece.key == key and piece.packet.offload is None
    # Whoever was to complete its checksum would not find it.
    assert piece.packet.data[:26] == bare[:26] and piece.packet.data[26:28] != partial[26:28]
    unparsed = record_of(bytes(12) + b"\x08\x00" + bare, key, "UNPARSED")
    assert decode_record(unparsed, 1).key == key
