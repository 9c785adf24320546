"""Sets of fields as text: `eth_{src,dst,type} ip_{src,dst} reg0...reg15`."""

from __future__ import annotations


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
                rest = [name[len(prefix) + 1 :] for name in names[at:end]]
                out.append(f"{prefix}_{{{','.join(_group(rest))}}}")
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
