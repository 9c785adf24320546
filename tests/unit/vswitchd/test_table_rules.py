"""Flow_Table rows as settings."""

from __future__ import annotations

import pytest

from netloom.ovsdb.row import Row
from netloom.vswitchd.table_rules import TableRules

UUID = "00000000-0000-0000-0000-000000000001"


@pytest.mark.parametrize(
    ("texts", "fields", "said"),
    [
        ((), None, []),
        (("nw_src",), ("ip_src",), ["bridge br0 table 3: Prefix lookup with: ip_src."]),
        (
            ("ip_dst", "tun_ipv6_src"),
            ("ip_dst", "tun_ipv6_src"),
            ["bridge br0 table 3: Prefix lookup with: ip_dst,tun_ipv6_src."],
        ),
        (("none",), (), ["bridge br0 table 3: Prefix lookup with: none."]),
        (("none", "nw_src"), (), ["bridge br0 table 3: Prefix lookup with: none."]),
        (("in_port",), None, ["bridge br0: 'prefixes' with incompatible field: in_port"]),
        (
            ("foo", "ipv6_src"),
            ("ipv6_src",),
            [
                "bridge br0: 'prefixes' with unknown field: foo",
                "bridge br0 table 3: Prefix lookup with: ipv6_src.",
            ],
        ),
    ],
)
def test_prefixes_by_any_name_of_a_field(
    texts: tuple[str, ...], fields: tuple[str, ...] | None, said: list[str]
) -> None:
    heard: list[str] = []
    rules = TableRules("br0", heard.append, heard.append)
    (settings,) = rules.read([(3, Row("Flow_Table", UUID, {"prefixes": texts}))])
    assert settings.prefixes == fields
    assert heard == said
