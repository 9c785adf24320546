"""Bytes of bundles."""

from __future__ import annotations

from struct import Struct, pack, unpack_from

from netloom.base.log import get_logger
from netloom.openflow import messages_bundles as b
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.message_table import Frame, read_frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

Encoded = tuple[str, bytes]

log: Final = get_logger("ofp_bundle")

#: Rows of the message table that may be in a bundle.
BUNDLABLE: Final = ("OFPT_FLOW_MOD", "OFPT_GROUP_MOD", "OFPT_PORT_MOD", "OFPT_PACKET_OUT")


def _name(name: str, version: int) -> str:
    return ("ONFT_BUNDLE_" if version < 5 else "OFPT_BUNDLE_") + name


#: OFPT_FLOW_MOD, of which most bundles are made.
_FLOW_MOD: Final = 14
#: What it has at least, in steps of eight bytes.
_FLOW_MOD_BYTES: Final = 56
_read_fixed: Final = Struct(">I2xH").unpack_from


def decode_bundle_control(frame: Frame, protocol: int) -> b.BundleControl:
    return b.BundleControl(*unpack_from(">IHH", frame.data, frame.need(8)))


def encode_bundle_control(message: b.BundleControl, version: int, protocol: int) -> Encoded:
    body = pack(">IHH", message.bundle_id, message.type, message.flags)
    return _name("CONTROL", version), body


def _is_bundlable(data: bytes) -> bool:
    try:
        name = read_frame(data).row.name
    except OpenFlowError as error:
        log.warn_rl("OFPT14_BUNDLE_ADD_MESSAGE contained message is unparsable (%s)", error.name)
        return False
    if name not in BUNDLABLE:
        log.warn_rl("%s message not allowed inside OFPT14_BUNDLE_ADD_MESSAGE", name)
    return name in BUNDLABLE


def decode_bundle_add(frame: Frame, protocol: int) -> b.BundleAdd:
    """Read a bundle add from its bytes."""
    return read_bundle_add(frame.data, frame.need(8))


def read_bundle_add(data: bytes, pos: int) -> b.BundleAdd:
    """The same where the body starts at `pos`, which has its fixed part at least."""
    bundle_id, flags = _read_fixed(data, pos)
    pos += 8
    if len(data) - pos < 8:
        raise OpenFlowError("OFPBFC_MSG_BAD_LEN")
    if data[pos] != data[0]:
        raise OpenFlowError("OFPBFC_BAD_VERSION")
    size = data[pos + 2] << 8 | data[pos + 3]
    if size < 8 or pos + size > len(data):
        raise OpenFlowError("OFPBFC_MSG_BAD_LEN")
    inner = data[pos : pos + size]
    if inner[4:8] != data[4:8]:
        raise OpenFlowError("OFPBFC_MSG_BAD_XID")
    plain = inner[1] == _FLOW_MOD and size >= _FLOW_MOD_BYTES and not size & 7
    if not plain and not _is_bundlable(inner):
        raise OpenFlowError("OFPBFC_MSG_UNSUP")
    return b.BundleAdd(bundle_id, flags, inner)


def encode_bundle_add(message: b.BundleAdd, version: int, protocol: int) -> Encoded:
    body = pack(">I2xH", message.bundle_id, message.flags) + message.data
    return _name("ADD_MESSAGE", version), body
