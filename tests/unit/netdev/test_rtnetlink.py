"""Messages of rtnetlink, beside pyroute2's reading of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from netloom.netdev.rtnetlink import NLM_F_DUMP, attribute, attributes, messages, request

RTM_GETLINK = 18
IFLA_IFNAME, IFLA_MTU = 3, 4


def test_request_is_read_by_pyroute2() -> None:
    named = attribute(IFLA_IFNAME, b"eth0\0") + attribute(IFLA_MTU, (1500).to_bytes(4, "little"))
    read = ifinfmsg(request(RTM_GETLINK, NLM_F_DUMP, bytes(16) + named))
    read.decode()
    assert read["header"]["type"] == RTM_GETLINK
    assert read["header"]["flags"] == NLM_F_DUMP | 1
    assert (read.get_attr("IFLA_IFNAME"), read.get_attr("IFLA_MTU")) == ("eth0", 1500)


@given(st.lists(st.tuples(st.integers(1, 99), st.binary(max_size=20)), max_size=5))
def test_what_is_written_is_read(parts: list[tuple[int, bytes]]) -> None:
    written = b"".join(attribute(kind, data) for kind, data in parts)
    assert attributes(written) == dict(parts)
    sent = [request(kind, 0, data) for kind, data in parts]
    whole = b"".join(one.ljust(len(one) + 3 & ~3, b"\0") for one in sent)
    assert list(messages(whole)) == parts


def test_flags_of_an_attribute_are_no_part_of_its_kind() -> None:
    assert attributes(attribute(7 | 0x8000, b"abcd")) == {7: b"abcd"}


@given(st.binary(max_size=80))
def test_any_bytes_are_read_to_their_end(data: bytes) -> None:
    attributes(data)
    list(messages(data))
