"""The order of Open vSwitch's hash tables; the expected orders were printed by its tools."""

from __future__ import annotations

from netloom.ovsdb.hash_order import listed_order, object_order, table_order, text_hash


def test_text_hash_is_murmurhash3_for_whole_words() -> None:
    # A published test vector of MurmurHash3_x86_32 with seed 0.
    assert text_hash("test") == 0xBA6BD213
    assert text_hash("") == 0


def test_tables_of_a_schema_come_in_the_order_of_the_c_client() -> None:
    # The members of the schema's JSON object, in its order.
    parsed = ["model", "name", "connected", "leader", "schema", "sid", "cid", "index"]
    # `ovsdb-client list-columns _Server` of Open vSwitch 3.1.
    want = [
        "_version", "model", "name", "connected", "leader", "schema", "_uuid", "cid", "sid",
        "index",
    ]  # fmt: skip
    assert object_order(["_uuid", "_version", *parsed]) == want


def test_later_entry_of_a_bucket_comes_first_and_growing_turns_buckets_round() -> None:
    # The table grows when the second entry comes, from one bucket to four.
    assert table_order([(4, "a"), (8, "b")]) == ["a", "b"]
    assert table_order([(4, "a"), (8, "b"), (12, "c"), (13, "d")]) == ["c", "a", "b", "d"]


def test_no_key_is_lost_or_doubled() -> None:
    uuids = [f"{n * 0x9E3779B1 & 0xFFFFFFFF:08x}-0000-4000-8000-000000000000" for n in range(500)]
    assert sorted(listed_order(uuids)) == sorted(uuids)
