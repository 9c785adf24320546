"""What later releases of Open vSwitch print in another way than Debian's 3.1, for comparisons.

Of a flow in a data path they print first what tells recirculation, then the rest in the order in
which the kernel has it; and of a tunnel's flags flows match that of the key only.
"""

from __future__ import annotations

import re

_INSIDE = r"\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)"
_NAMES = "skb_priority|tunnel|skb_mark|ct_state|ct_zone|ct_mark|ct_label|ct_tuple[46]"
#: The attributes in front of recirc_id, this, and those behind it that come before the packet's.
_METADATA = re.compile(
    rf"((?:(?:{_NAMES}){_INSIDE},)+)(recirc_id\([^)]*\),(?:dp_hash\([^)]*\),)?)(in_port\([^)]*\),)?"
)
_ATTRIBUTE = re.compile(rf"(?:{_NAMES}){_INSIDE},")
_BEFORE_PORT = ("skb_priority", "tunnel")
_FLAGS = re.compile(r"(tun_flags=)[+-]df[+-]csum(?=[+-])")
#: All flags of a megaflow, of which only two are matched now.
_ALL_FLAGS = re.compile(r"^(Megaflow: .*tun_flags=)([a-z0][a-z|]*)(?=,)", re.MULTILINE)
_DP_FLAGS = re.compile(r"flags\([+-]df[+-]csum(?=[+-])|,flags\([+-]df[+-]csum\)")
#: A packet without a frame, which a tunnel then does not take, is dropped in so many words.
_LEFT_BARE = re.compile(r"^(Datapath actions: .*,pop_eth)$", re.MULTILINE)


def _reordered(found: re.Match[str]) -> str:
    words = _ATTRIBUTE.findall(found[1])
    first = [word for word in words if word.startswith(_BEFORE_PORT)]
    rest = [word for word in words if not word.startswith(_BEFORE_PORT)]
    return found[2] + "".join(first) + (found[3] or "") + "".join(rest)


def _two_flags(found: re.Match[str]) -> str:
    names = found[2].split("|")
    return found[1] + "".join(f"{'-+'[flag in names]}{flag}" for flag in ("oam", "key"))


def as_later(text: str) -> str:
    """`text` of 3.1 as later releases print it; theirs stays as it is."""
    text = _LEFT_BARE.sub(r"\1,drop", _METADATA.sub(_reordered, text))
    text = _ALL_FLAGS.sub(_two_flags, _FLAGS.sub(r"\1", text))
    return _DP_FLAGS.sub(lambda found: "flags(" if found[0][0] == "f" else "", text)
