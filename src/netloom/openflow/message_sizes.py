"""How long messages are: bytes of the body, one table, versions as columns.

Columns are OpenFlow 1.0 to 1.5 as in `message_table`: `8` is a body of that length, `8+16` one of 8
bytes and any number of 16 more; `-` is "not in this version", `=` "as before", the last column
holds for all that follow. A message of another length is refused before anything else of it is
read. Lengths: OpenFlow 1.0-1.5; Nicira's are those that `ovs-ofctl ofp-print` accepts.
"""

from __future__ import annotations

_ROWS = """
OFPT_HELLO 0+1
OFPT_ERROR 4+1
OFPT_ECHO_REQUEST 0+1
OFPT_ECHO_REPLY 0+1
OFPT_FEATURES_REQUEST 0
OFPT_FEATURES_REPLY 24+48 24+64 = 24
OFPT_GET_CONFIG_REQUEST 0
OFPT_GET_CONFIG_REPLY 4
OFPT_SET_CONFIG 4
OFPT_PACKET_IN 10+1 16+1 8+1 16+1
OFPT_FLOW_REMOVED 80 40+8 = = = 16+8
OFPT_PORT_STATUS 56 72 = = 48+8
OFPT_PACKET_OUT 8+1 16+1 = = = 8+1
OFPT_FLOW_MOD 64+8 40+8
OFPT_GROUP_MOD - 8+8 = = = 16+8
OFPT_PORT_MOD 24 32 = = 24+8
OFPT_TABLE_MOD - 8 = = 8+8
OFPT_BARRIER_REQUEST 0
OFPT_BARRIER_REPLY 0
OFPT_QUEUE_GET_CONFIG_REQUEST 4 8 = = -
OFPT_QUEUE_GET_CONFIG_REPLY 8+8 = = = -
OFPT_ROLE_REQUEST - - 16
OFPT_ROLE_REPLY - - 16
OFPT_GET_ASYNC_REQUEST - - - 0
OFPT_GET_ASYNC_REPLY - - - 24 0+8
OFPT_SET_ASYNC - - - 24 0+8
OFPT_METER_MOD - - - 8+8
OFPT_ROLE_STATUS - - - - 16+8
ONFT_ROLE_STATUS - - - 16+8 -
OFPT_TABLE_STATUS - - - - 8+8
OFPT_REQUESTFORWARD - - - - 8+8
ONFT_REQUESTFORWARD - - - 8+8 -
NXT_REQUESTFORWARD 8+8 8+8 8+8 -
OFPT_BUNDLE_CONTROL - - - - 8+8
OFPT_BUNDLE_ADD_MESSAGE - - - - 8+1
ONFT_BUNDLE_CONTROL - - - 8+8 -
ONFT_BUNDLE_ADD_MESSAGE - - - 8+1 -
NXT_ROLE_REQUEST 4
NXT_ROLE_REPLY 4
NXT_SET_FLOW_FORMAT 4 -
NXT_FLOW_MOD 32+8
NXT_FLOW_REMOVED 40+8
NXT_FLOW_MOD_TABLE_ID 8
NXT_SET_PACKET_IN_FORMAT 4
NXT_PACKET_IN 24+1
NXT_FLOW_AGE 0
NXT_SET_ASYNC_CONFIG 24
NXT_SET_CONTROLLER_ID 8
NXT_FLOW_MONITOR_CANCEL 4 = = -
NXT_FLOW_MONITOR_PAUSED 0 = = -
NXT_FLOW_MONITOR_RESUMED 0 = = -
ONFT_FLOW_MONITOR_CANCEL - - - 4 -
ONFT_FLOW_MONITOR_PAUSED - - - 0 -
ONFT_FLOW_MONITOR_RESUMED - - - 0 -
NXT_TLV_TABLE_MOD 8+8
NXT_TLV_TABLE_REQUEST 0
NXT_TLV_TABLE_REPLY 16+8
NXT_SET_ASYNC_CONFIG2 0+8 = = = -
NXT_CT_FLUSH_ZONE 8
NXT_CT_FLUSH 8+8
NXT_RESUME 0+8
NXT_PACKET_IN2 0+8
NXT_GROUP_MOD 16+8 -
OFPST_DESC request 0
OFPST_DESC reply 1056
OFPST_FLOW request 44 32+8
OFPST_FLOW reply 0+1
OFPST_AGGREGATE request 44 32+8
OFPST_AGGREGATE reply 24 = = = = 0+1
OFPST_TABLE request 0
OFPST_TABLE reply 0+64 0+88 0+128 0+24
OFPST_PORT request 8
OFPST_PORT reply 0+104 = = 0+112 0+8
OFPST_QUEUE request 8
OFPST_QUEUE reply 0+32 = = 0+40 0+8
OFPST_GROUP request - 8
OFPST_GROUP reply - 0+8
OFPST_GROUP_DESC request - 0 = = = 8
OFPST_GROUP_DESC reply - 0+8
OFPST_GROUP_FEATURES request - - 0
OFPST_GROUP_FEATURES reply - - 40
OFPST_METER request - - - 8
OFPST_METER reply - - - 0+8
OFPST_METER_CONFIG request - - - 8
OFPST_METER_CONFIG reply - - - 0+8
OFPST_METER_FEATURES request - - - 0
OFPST_METER_FEATURES reply - - - 16
OFPST_TABLE_FEATURES request - - - 0+8
OFPST_TABLE_FEATURES reply - - - 64+8
OFPST_PORT_DESC request 0 = = = = 8
OFPST_PORT_DESC reply 0+48 0+64 = = 0+8
OFPST_TABLE_DESC request - - - - 0
OFPST_TABLE_DESC reply - - - - 8+8
OFPST_QUEUE_DESC request - - - - 8
OFPST_QUEUE_DESC reply - - - - 0+8
OFPST_FLOW_MONITOR request - - - - 0+8
OFPST_FLOW_MONITOR reply - - - - 0+8
NXST_FLOW request 8+8 -
NXST_FLOW reply 0+1 -
NXST_AGGREGATE request 8+8 -
NXST_AGGREGATE reply 24 -
NXST_FLOW_MONITOR request 0+8 = = -
NXST_FLOW_MONITOR reply 0+8 = = -
ONFST_FLOW_MONITOR request - - - 0+8 -
ONFST_FLOW_MONITOR reply - - - 0+8 -
NXST_IPFIX_BRIDGE request 0
NXST_IPFIX_BRIDGE reply 88
NXST_IPFIX_FLOW request 0
NXST_IPFIX_FLOW reply 0+88
NXST_GROUP request 8 -
NXST_GROUP reply 0+8 -
NXST_GROUP_DESC request 8 -
NXST_GROUP_DESC reply 0+8 -
NXST_GROUP_FEATURES request 0 = -
NXST_GROUP_FEATURES reply 40 = -
"""

#: Least bytes, and of how many bytes a further one is (0: there is none).
Size = tuple[int, int]


def _columns(words: list[str]) -> tuple[Size | None, ...]:
    sizes: list[Size | None] = []
    for word in words:
        if word == "=":
            sizes.append(sizes[-1])
        elif word == "-":
            sizes.append(None)
        else:
            least, _, step = word.partition("+")
            sizes.append((int(least), int(step or 0)))
    sizes += [sizes[-1]] * (6 - len(sizes))
    return tuple(sizes)


def _read() -> dict[tuple[str, str], tuple[Size | None, ...]]:
    table = {}
    for line in _ROWS.strip().split("\n"):
        name, *words = line.split()
        kind = words.pop(0) if words[0] in ("request", "reply") else ""
        table[name, kind] = _columns(words)
    return table


#: (name of the message, "request", "reply" or "") -> sizes for wire versions 1 to 6.
SIZES = _read()
