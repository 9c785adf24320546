"""What the data path can, and what of it bridges are to use (`dpif/show-dp-features`).

Whoever tests how a switch copes with a lesser data path turns a feature off at run time
(`dpif/set-dp-features`). A feature that our translation cannot do without stays on, and the command
says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from netloom.base.errors import CommandError

#: (key, title, what the data paths of this version can), in the order of the listing.
_FEATURES: tuple[tuple[str, str, bool | int], ...] = (
    ("masked_set_action", "Masked set action", True),
    ("tnl_push_pop", "Tunnel push pop", True),
    ("ufid", "Ufid", True),
    ("trunc", "Truncate action", True),
    ("clone", "Clone action", True),
    ("sample_nesting", "Sample nesting", 10),
    ("ct_eventmask", "Conntrack eventmask", True),
    ("ct_clear", "Conntrack clear", True),
    ("max_hash_alg", "Max dp_hash algorithm", 1),
    ("check_pkt_len", "Check pkt length action", True),
    ("ct_timeout", "Conntrack timeout policy", True),
    ("explicit_drop_action", "Explicit Drop action", True),
    ("lb_output_action", "Optimized Balance TCP mode", False),
    ("ct_zero_snat", "Conntrack all-zero IP SNAT", True),
    ("add_mpls", "MPLS Label add", True),
    # The kernel's psample channel is written to by the kernel only: not by programs of ours.
    ("psample", "psample action", False),
    ("max_vlan_headers", "Max VLAN headers", 1),
    ("max_mpls_depth", "Max MPLS depth", 3),
    ("recirc", "Recirc", True),
    ("ct_state", "CT state", True),
    ("ct_zone", "CT zone", True),
    ("ct_mark", "CT mark", True),
    ("ct_label", "CT label", True),
    ("ct_state_nat", "CT state NAT", True),
    ("ct_orig_tuple", "CT orig tuple", True),
    ("ct_orig_tuple6", "CT orig tuple for IPv6", True),
    ("nd_ext", "IPv6 ND Extension", True),
)
_TITLES = {key: title for key, title, _ in _FEATURES}
#: Features that translation can do without.
_OPTIONAL = frozenset({
    "add_mpls", "check_pkt_len", "clone", "lb_output_action", "masked_set_action", "psample",
    "tnl_push_pop", "trunc",
})  # fmt: skip
#: What the log says of features when a data path is opened; with a number if that counts.
_PROBES: tuple[tuple[str, str], ...] = (
    ("recirc", "recirculation"),
    ("max_vlan_headers", "VLAN header stack length probed as %d"),
    ("max_mpls_depth", "MPLS label stack length probed as %d"),
    ("trunc", "truncate action"),
    ("ufid", "unique flow ids"),
    ("clone", "clone action"),
    ("sample_nesting", "Max sample nesting level probed as %d"),
    ("ct_eventmask", "eventmask in conntrack action"),
    ("ct_clear", "ct_clear action"),
    ("max_hash_alg", "Max dp_hash algorithm probed to be %d"),
    ("check_pkt_len", "check_pkt_len action"),
    ("ct_timeout", "timeout policy in conntrack action"),
    ("explicit_drop_action", "explicit drop action"),
    ("ct_zero_snat", "ct_zero_snat"),
    ("add_mpls", "add_mpls action"),
    ("psample", "psample action"),
    ("ct_state", "ct_state"),
    ("ct_zone", "ct_zone"),
    ("ct_mark", "ct_mark"),
    ("ct_label", "ct_label"),
    ("ct_state_nat", "ct_state_nat"),
    ("ct_orig_tuple", "ct_orig_tuple"),
    ("ct_orig_tuple6", "ct_orig_tuple6"),
    ("nd_ext", "IPv6 ND Extensions"),
)


class Features:
    """The features of one data path, as bridges are to see them."""

    def __init__(self, can_balance: bool = False) -> None:
        self._there = {key: value for key, _, value in _FEATURES}
        self._there["lb_output_action"] = can_balance
        self._used = dict(self._there)

    def found_vlans(self, n_vlans: int) -> None:
        """How many tags of a packet the data path tells apart."""
        self._there["max_vlan_headers"] = self._used["max_vlan_headers"] = n_vlans

    def probed(self) -> Iterator[str]:
        """What to tell the log."""
        for key, text in _PROBES:
            there = self._there[key]
            if not isinstance(there, bool):
                yield text % there
            else:
                yield f"Datapath {'supports' if there else 'does not support'} {text}"

    def has(self, key: str) -> bool:
        """Is that feature to be used?"""
        return bool(self._used[key])

    def show(self) -> str:
        """A line each: title and value, as the data path came."""
        return list_features((_TITLES[key], value) for key, value in self._there.items())

    def describe(self) -> str:
        """A line each, with the names that `set` takes."""
        return "".join(map(self._describe, self._used))

    def _describe(self, key: str) -> str:
        values = [str(values[key]).lower() for values in (self._used, self._there)]
        return f"{key} ({_TITLES[key]}) : [run time]:{values[0]}, [boot time]:{values[1]}\n"

    def set(self, key: str, text: str | None, force: bool = False) -> tuple[str, bool]:
        """Use a feature or not, or as far as a number says; without `text`, tell about it. Returns
        what to say, and whether that changed something. `force`: also one that is not there."""
        if key not in self._there:
            return "Unexpected support field\n", False
        there = self._there[key]
        if text is None:
            return self._describe(key), False
        value = _read(text, there, force)
        if isinstance(value, str):
            return value, False
        if value != self._used[key] and key not in _OPTIONAL:
            raise CommandError(f"{key} cannot be changed: this switch cannot do without")
        changed = value != self._used[key]
        self._used[key] = value
        return "", changed


def list_features(features: Iterable[tuple[str, bool | int]]) -> str:
    """A line each: title and value."""
    return "".join(f"{title}: {_say(value)}\n" for title, value in features)


def _read(text: str, there: bool | int, force: bool) -> bool | int | str:
    """The value of `text`, or what is wrong with it."""
    if isinstance(there, bool):
        words = {"true": True, "false": False}
        if text.lower() not in words:
            return "Boolean value expected\n"
        if words[text.lower()] and not (there or force):
            return "Can not enable features not supported by the datapth\n"
        return words[text.lower()]
    if not text.isascii() or not text.isdigit():
        return "Integer number expected\n"
    if int(text) > there:
        return "Can not set value beyond the datapath capability\n"
    return int(text)


def _say(value: bool | int) -> str:
    if isinstance(value, bool):
        return "Yes" if value else "No"
    return str(value)
