"""Numbers of OpenFlow, by their names in the specifications 1.0 to 1.5.

Where versions differ (port configuration, state and features), the bits are those of OpenFlow 1.1
and later, whatever the version on the wire. `messages` has all of these names too.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# Versions on the wire

OFP10_VERSION: Final = 0x01
OFP11_VERSION: Final = 0x02
OFP12_VERSION: Final = 0x03
OFP13_VERSION: Final = 0x04
OFP14_VERSION: Final = 0x05
OFP15_VERSION: Final = 0x06

NO_BUFFER: Final = 0xFFFFFFFF
OFPP_ANY: Final = 0xFFFFFFFF
OFPG_ANY: Final = 0xFFFFFFFF
OFPQ_ALL: Final = 0xFFFFFFFF
OFPTT_ALL: Final = 0xFF
#: A counter that the switch does not keep.
UNKNOWN: Final = 0xFFFFFFFFFFFFFFFF

# Flow mod commands and flags

OFPFC_ADD: Final = 0
OFPFC_MODIFY: Final = 1
OFPFC_MODIFY_STRICT: Final = 2
OFPFC_DELETE: Final = 3
OFPFC_DELETE_STRICT: Final = 4

OFPFF_SEND_FLOW_REM: Final = 1 << 0
OFPFF_CHECK_OVERLAP: Final = 1 << 1
OFPFF_RESET_COUNTS: Final = 1 << 2
OFPFF_NO_PKT_COUNTS: Final = 1 << 3
OFPFF_NO_BYT_COUNTS: Final = 1 << 4
#: OpenFlow 1.0 only: an emergency flow, which nobody supports.
OFPFF_EMERG: Final = 1 << 15

# Reasons

OFPR_NO_MATCH: Final = 0
OFPR_ACTION: Final = 1
OFPR_INVALID_TTL: Final = 2
OFPR_ACTION_SET: Final = 3
OFPR_GROUP: Final = 4
OFPR_PACKET_OUT: Final = 5
#: Not on the wire: a table miss of a rule (OpenFlow 1.3 sends OFPR_NO_MATCH, earlier ACTION).
OFPR_EXPLICIT_MISS: Final = 6
OFPR_IMPLICIT_MISS: Final = 7

OFPRR_IDLE_TIMEOUT: Final = 0
OFPRR_HARD_TIMEOUT: Final = 1
OFPRR_DELETE: Final = 2
OFPRR_GROUP_DELETE: Final = 3
OFPRR_METER_DELETE: Final = 4
OFPRR_EVICTION: Final = 5

OFPPR_ADD: Final = 0
OFPPR_DELETE: Final = 1
OFPPR_MODIFY: Final = 2

# Ports

OFPPC_PORT_DOWN: Final = 1 << 0
OFPPC_NO_STP: Final = 1 << 1
OFPPC_NO_RECV: Final = 1 << 2
OFPPC_NO_RECV_STP: Final = 1 << 3
OFPPC_NO_FLOOD: Final = 1 << 4
OFPPC_NO_FWD: Final = 1 << 5
OFPPC_NO_PACKET_IN: Final = 1 << 6

OFPPS_LINK_DOWN: Final = 1 << 0
OFPPS_BLOCKED: Final = 1 << 1
OFPPS_LIVE: Final = 1 << 2
OFPPS_STP_LISTEN: Final = 0 << 8
OFPPS_STP_LEARN: Final = 1 << 8
OFPPS_STP_FORWARD: Final = 2 << 8
OFPPS_STP_BLOCK: Final = 3 << 8
OFPPS_STP_MASK: Final = 3 << 8

OFPPF_10MB_HD: Final = 1 << 0
OFPPF_10MB_FD: Final = 1 << 1
OFPPF_100MB_HD: Final = 1 << 2
OFPPF_100MB_FD: Final = 1 << 3
OFPPF_1GB_HD: Final = 1 << 4
OFPPF_1GB_FD: Final = 1 << 5
OFPPF_10GB_FD: Final = 1 << 6
OFPPF_40GB_FD: Final = 1 << 7
OFPPF_100GB_FD: Final = 1 << 8
OFPPF_1TB_FD: Final = 1 << 9
OFPPF_OTHER: Final = 1 << 10
OFPPF_COPPER: Final = 1 << 11
OFPPF_FIBER: Final = 1 << 12
OFPPF_AUTONEG: Final = 1 << 13
OFPPF_PAUSE: Final = 1 << 14
OFPPF_PAUSE_ASYM: Final = 1 << 15

# Capabilities of a switch. The bits are those of the wire; STP is of OpenFlow 1.0, GROUP_STATS and
# PORT_BLOCKED of 1.1 and later, ARP_MATCH_IP of 1.0 and 1.1.

OFPC_FLOW_STATS: Final = 1 << 0
OFPC_TABLE_STATS: Final = 1 << 1
OFPC_PORT_STATS: Final = 1 << 2
OFPC_STP: Final = 1 << 3
OFPC_GROUP_STATS: Final = 1 << 3
OFPC_IP_REASM: Final = 1 << 5
OFPC_QUEUE_STATS: Final = 1 << 6
OFPC_ARP_MATCH_IP: Final = 1 << 7
OFPC_PORT_BLOCKED: Final = 1 << 8
OFPC_BUNDLES: Final = 1 << 9
OFPC_FLOW_MONITORING: Final = 1 << 10

# Switch configuration

OFPC_FRAG_NORMAL: Final = 0
OFPC_FRAG_DROP: Final = 1
OFPC_FRAG_REASM: Final = 2
OFPC_FRAG_NX_MATCH: Final = 3
OFPC_FRAG_MASK: Final = 3
OFPC_INVALID_TTL_TO_CONTROLLER: Final = 1 << 2
OFP_DEFAULT_MISS_SEND_LEN: Final = 128

# Roles, formats

OFPCR_ROLE_NOCHANGE: Final = 0
OFPCR_ROLE_EQUAL: Final = 1
OFPCR_ROLE_PRIMARY: Final = 2
OFPCR_ROLE_SECONDARY: Final = 3

OFPCRR_PRIMARY_REQUEST: Final = 0
OFPCRR_CONFIG: Final = 1
OFPCRR_EXPERIMENTER: Final = 2

NXFF_OPENFLOW10: Final = 0
NXFF_NXM: Final = 2

#: In a request to set masks: leave this one as it is.
ASYNC_UNSET = -1

#: Encodings of a packet-in: that of the version, and the two Nicira formats.
PACKET_IN_STANDARD: Final = 0
PACKET_IN_NXT: Final = 1
PACKET_IN_NXT2: Final = 2

NX_VENDOR_ID: Final = 0x00002320
ONF_VENDOR_ID: Final = 0x4F4E4600
