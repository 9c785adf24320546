"""Sets of fields as text: `eth_{src,dst,type} ip_{src,dst} reg0...reg15`."""

from __future__ import annotations

from netloom.flow.fields import FIELD

#: Prefixes of names in the order of printing, where it is not that of the field table.
_ORDER = {
    name: number
    for number, name in enumerate(
        """
        dp_hash recirc_id packet_type conj_id tun_id tun_src tun_dst tun_ipv6_src tun_ipv6_dst
        tun_flags tun_gbp_id tun_gbp_flags tun_erspan_idx tun_erspan_ver tun_erspan_dir
        tun_erspan_hwid tun_gtpu_flags tun_gtpu_msgtype
        """.split()  # noqa: SIM905
    )
}
_LATE = ("nw_proto", "nw_tos", "ip_dscp", "nw_ecn", "nw_ttl", "ip_frag", "arp_op")
_BEFORE_PORT = ("metadata", "in_port")
_NSH = ("flags", "mdtype", "np", "spi", "si", "c1", "c2", "c3", "c4", "ttl")


def rank(name: str) -> tuple[int, int]:
    """A key to sort names by for printing."""
    if name in _ORDER:
        return -1, _ORDER[name]
    if name in _BEFORE_PORT:
        return FIELD["in_port_oxm"].id, _BEFORE_PORT.index(name) - len(_BEFORE_PORT)
    if name == "vlan_tci":
        return FIELD["vlan_vid"].id, -1
    if name.startswith("nsh_"):
        return 1000, _NSH.index(name[4:])
    if name in _LATE:
        return FIELD["nw_proto"].id, _LATE.index(name)
    return FIELD[name].id, 0


def format_field_names(names: list[str]) -> str:
    """`names`, in the order of the field table, with what neighbours begin with said once."""
    return " ".join(_group(names))


def _group(names: list[str]) -> list[str]:
    out = []
    at = 0
    while at < len(names):
        prefix, underscore, _ = names[at].partition("_")
        end = at + 1
        if underscore:
            while end < len(names) and names[end].startswith(prefix + "_"):
                end += 1
            if end - at > 1:
                prefix = _shared_words(names[at:end])
                rest = [name[len(prefix) :] for name in names[at:end]]
                out.append(f"{prefix}{{{','.join(_group(rest))}}}")
                at = end
                continue
            end = at + 1
        end = _numbered_run(names, at)
        if end - at > 2:
            out.append(f"{names[at]}...{names[end - 1]}")
        else:
            out.extend(names[at:end])
        at = end
    return out


def _shared_words(names: list[str]) -> str:
    """What all begin with, up to an underscore."""
    first, last = min(names), max(names)
    size = next((at for at, pair in enumerate(zip(first, last)) if pair[0] != pair[1]), len(first))
    return first[: first.rindex("_", 0, size) + 1]


def _numbered_run(names: list[str], at: int) -> int:
    """Where a run of `reg0`, `reg1` ... that starts at `at` ends."""
    stem = names[at].rstrip("0123456789")
    digits = names[at][len(stem) :]
    end = at + 1
    if digits:
        number = int(digits)
        while end < len(names) and names[end] == f"{stem}{number + end - at}":
            end += 1
    return end
