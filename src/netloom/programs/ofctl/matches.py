"""Commands that turn matches from one form to another and say what that changes."""

from __future__ import annotations

import os
import sys

from netloom.flow.fields import SLOT
from netloom.flow.match import Match
from netloom.flow.prerequisites import normalize_match, report_normalization
from netloom.flow.print import format_match
from netloom.openflow import old_match
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.message_text import bare_hex_dump
from netloom.openflow.oxm import oxm_table
from netloom.openflow.oxm_text import format_entries, parse_entries
from netloom.programs.ofctl.input import input_lines, significant_lines
from netloom.programs.ofctl.options import Fatal, parse_version

#: OpenFlow 1.2.
_FIRST_WITH_OXM = 3

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from netloom.programs.ofctl import Context


_TCI = SLOT["vlan_tci"]


# NXM and OXM


def _convert_entries(version: int, context: Context) -> None:
    """Reads entries from the standard input and prints what they are after a conversion, and with
    -m all bytes of the match."""
    strict = context.args.strict
    table = oxm_table(version)
    for line in input_lines():
        if line.startswith("#"):
            sys.stdout.write(line + "\n")
            continue
        text = line.partition("#")[0]
        if not text.strip(" "):
            sys.stdout.write("\n")
            continue
        data = parse_entries(text)
        try:
            value, mask, cookie, cookie_mask = table.decode(
                data, 0, len(data), strict=strict, cookie=version == 1
            )
        except OpenFlowError as error:
            sys.stdout.write(f"nx_pull_match() returned error {error.name}\n")
            continue
        entries = table.encode(Match(value, mask), cookie, cookie_mask)
        sys.stdout.write(format_entries(entries) + "\n")
        if context.args.verbosity:
            head = b"" if version == 1 else b"\0\1" + (4 + len(entries)).to_bytes(2, "big")
            whole = head + entries
            sys.stdout.write(bare_hex_dump(whole + bytes(-len(whole) % 8)))


def parse_nx_match(context: Context) -> None:
    """The command `parse-nx-match`: strict unless --strict is missing."""
    _convert_entries(1, context)


def parse_oxm(context: Context) -> None:
    """The command `parse-oxm VERSION`."""
    text = context.operands[0]
    version = parse_version(text)
    if version < _FIRST_WITH_OXM:
        raise Fatal(f"{text}: not a valid version for OXM")
    _convert_entries(version, context)


# OpenFlow 1.0 and 1.1


def differences(before: bytes, after: bytes, prefix: str = "") -> str:
    """A line for each byte that is not the same."""
    out = ""
    for at in range(max(len(before), len(after))):
        old, new = before[at : at + 1].hex(), after[at : at + 1].hex()
        if old != new:
            out += f"{prefix}{at:2d}: {old or '(none)'} -> {new or '(none)'}\n"
    return out


def _match_bytes(digits: str, size: int) -> bytes:
    try:
        data = bytes.fromhex("".join(digits.split()))
    except ValueError:
        raise Fatal("Trailing garbage in hex data") from None
    if len(data) != size:
        raise Fatal(f"Input is {len(data)} bytes, expected {size}")
    return data


def parse_ofp10_match(context: Context) -> None:
    """The command `parse-ofp10-match`: an `x` stands for any digit, which comes back as 0."""
    for line in significant_lines(sys.stdin):
        expected = _match_bytes(line.replace("x", "0"), old_match.OFP10_MATCH.size)
        while "x" in line:
            line = line.replace("x", os.urandom(1).hex()[0], 1)
        match = old_match.read_ofp10_match(_match_bytes(line, len(expected)), 0)
        sys.stdout.write(format_match(match) + "\n")
        there_and_back = old_match.encode_ofp10_match(match)
        sys.stdout.write(differences(expected, there_and_back))
        normal_match, notes = normalize_match(match)
        report_normalization(notes)
        normal = old_match.encode_ofp10_match(normal_match)
        sys.stdout.write(differences(there_and_back, normal, "normal: ") + "\n")


def parse_ofp11_match(context: Context) -> None:
    """The command `parse-ofp11-match`."""
    for line in significant_lines(sys.stdin):
        data = _match_bytes(line, old_match.OFP11_MATCH.size)
        try:
            match, _ = old_match.decode_ofp11_match(data, 0)
        except OpenFlowError as error:
            sys.stdout.write(f"bad ofp11_match: {error.name}\n\n")
            continue
        sys.stdout.write(format_match(match) + "\n")
        sys.stdout.write(differences(data, old_match.encode_ofp11_match(match)) + "\n")


# VLANs


def _hexadecimal(text: str) -> int:
    """The number at the start of `text`, in 16 bits, as C reads it."""
    digits = text.strip().lower().removeprefix("0x")
    end = next((n for n, char in enumerate(digits) if char not in "0123456789abcdef"), len(digits))
    return int(digits[:end] or "0", 16) & 0xFFFF


def _tci_text(match: Match) -> str:
    return f"{_TCI.get(match.value):04x}/{_TCI.get(match.mask):04x}"


def _vid_text(match: Match) -> str:
    """VLAN id and presence, which are one field in OXM, and the priority."""
    vid, vid_mask = (_TCI.get(number) & 0x1FFF for number in (match.value, match.mask))
    has_pcp = vid and _TCI.get(match.mask) >> 13
    pcp = f"{_TCI.get(match.value) >> 13:02d}" if has_pcp else "--"
    return f"{vid:04x}/{vid_mask:04x},{pcp}"


def _there_and_back(match: Match, version: int, show: Callable[[Match], str]) -> str:
    """The entries of `match`, and what they mean."""
    table = oxm_table(version)
    data = table.encode(match)
    try:
        value, mask, _, _ = table.decode(data, 0, len(data))
    except OpenFlowError as error:
        return f"{format_entries(data)} -> {error.name}"
    return f"{format_entries(data)} -> {show(Match(value, mask))}"


def check_vlan(context: Context) -> None:
    """The command `check-vlan TCI MASK`: what becomes of a VLAN match in each format."""
    from netloom.flow.text import parse_match

    tci, mask = map(_hexadecimal, context.operands)
    match = Match(_TCI.put(0, tci), _TCI.put(0, mask))
    text = format_match(match)
    sys.stdout.write(f"{text} -> {_tci_text(parse_match(text))}\n")
    sys.stdout.write(f"NXM: {_there_and_back(match, 1, _tci_text)}\n")
    sys.stdout.write(f"OXM: {_there_and_back(match, 3, _vid_text)}\n")
    _print_old_vlan("OF1.0", match, 1, 20)
    _print_old_vlan("OF1.1", match, 1, 2)


def _print_old_vlan(name: str, match: Match, vlan_bit: int, pcp_bit: int) -> None:
    """The members of a fixed-size match: VLAN and priority, each with whether it is a wildcard."""
    if name == "OF1.0":
        data = old_match.encode_ofp10_match(match)
        found = old_match.read_ofp10_match(data, 0)
        wild, vlan, pcp = int.from_bytes(data[:4], "big"), data[18:20], data[20]
    else:
        data = old_match.encode_ofp11_match(match)
        found, _ = old_match.decode_ofp11_match(data, 0)
        wild, vlan, pcp = int.from_bytes(data[8:12], "big"), data[36:38], data[38]
    sys.stdout.write(
        f"{name}: {vlan.hex()}/{wild >> vlan_bit & 1},{pcp:02x}/{wild >> pcp_bit & 1} -> "
        f"{_tci_text(found)}\n"
    )
