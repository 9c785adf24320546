"""What a flow may ask for is carried out or refused, never forgotten."""

from __future__ import annotations

import pytest

from netloom.ofproto.translate.handlers import unsupported
from netloom.openflow.flow_text import parse_flow_mod


@pytest.mark.parametrize(
    "actions",
    ["NORMAL", "drop", "mod_vlan_vid:10,output:1", "resubmit(,1)", "CONTROLLER:1", "dec_ttl",
     "move:NXM_NX_REG0[]->NXM_NX_REG1[]", "set_tunnel:5", "clone(output:1)",
     "conjunction(1,1/2),note:01", "set_queue:1,pop_queue", "enqueue:1:2",
     "output(port=1,max_len=100)", "clone(set_queue:1)", "write_actions(set_queue:1,output:1)",
     "learn(table=1,eth_type=0x800)", "sample(probability=1,collector_set_id=1)",
     "fin_timeout(idle_timeout=1)", "check_pkt_larger(100)->NXM_NX_REG0[0]",
     "delete_field:tun_metadata0", "encap(nsh)", "encap(mpls)", "decap()", "dec_nsh_ttl",
     "set_field:1->nsh_c1", "move:nsh_c1[]->nsh_c2[]", "controller(meter_id=5)",
     "clone(controller(meter_id=5,pause))"],
)  # fmt: skip
def test_action_of_this_version_is_supported(actions: str) -> None:
    match = "eth_type=0x894f," if "nsh_" in actions else ""
    mod, _ = parse_flow_mod(f"{match}actions={actions}")
    assert all(unsupported(action) is None for action in mod.actions)
