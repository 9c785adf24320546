"""Bridges wired at random, and whether what forwards between them is a tree."""

from __future__ import annotations

from hypothesis import strategies as st

Link = tuple[int, int]


def components(n_bridges: int, links: list[Link]) -> list[int]:
    """For each bridge the lowest one that it is joined with."""
    group = list(range(n_bridges))
    for one, other in links * n_bridges:
        group = [min(group[one], group[other]) if g in (group[one], group[other]) else g
                 for g in group]  # fmt: skip
    return group


def draw_links(data: st.DataObject) -> tuple[int, list[Link]]:
    """A number of bridges, and wires between different ones."""
    n_bridges = data.draw(st.integers(2, 5))
    end = st.integers(0, n_bridges - 1)
    wire = st.tuples(end, end).filter(lambda ends: ends[0] != ends[1])
    return n_bridges, data.draw(st.lists(wire, max_size=8))


def assert_tree(n_bridges: int, links: list[Link], forwarding: list[Link]) -> None:
    """What forwards joins all that the links join, without a loop."""
    groups = components(n_bridges, links)
    assert components(n_bridges, forwarding) == groups
    assert len(forwarding) == n_bridges - len(set(groups))
