"""Routes: which device and which of its addresses lead to an address.

Longest prefix wins; of equal prefixes a route that a person added wins over one of the system.
Routes may be for packets with a mark only. A route whose own address is not known cannot be added:
a tunnel must know what it sends from.

Routes stand in tables, which `rules` ask one after the other. As long as nobody has other rules
than the usual ones, the usual tables are asked as one, which finds the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from netloom.base.record import Record
from netloom.flow.mapped import (
    format_mapped,
    format_mapped_prefix,
    ipv4_of,
    is_ipv4,
    mask_of_length,
)
from netloom.ofproto.underlay.rules import (
    FULL_LENGTH,
    TABLE_LOCAL,
    TABLE_MAIN,
    USUAL_TABLES,
    Rule,
    Rules,
)

#: (address, prefix length) of the device of that name.
Addresses = Callable[[str], tuple[tuple[int, int], ...]]


class Route(Record):
    """`prefix`/`length` is reached through `device`, by `gateway` (0: directly), from `source`.
    `is_local`: the destinations are the host's own. `table` is the routing table that it
    stands in."""

    prefix: int
    length: int
    device: str
    gateway: int = 0
    source: int = 0
    mark: int = 0
    is_user: bool = False
    is_local: bool = False
    table: int = TABLE_MAIN

    def describe(self, with_table: bool = False) -> str:
        """A line of `ovs/route/show`; `with_table`: a table that is none of the usual is told."""
        words = [f"{'User' if self.is_user else 'Cached'}:"]
        words.append(format_mapped_prefix(self.prefix, self.length))
        if self.mark:
            words.append(f"MARK {self.mark}")
        words.append(f"dev {self.device}")
        if self.gateway:
            words.append(f"GW {format_mapped(self.gateway)}")
        words.append(f"SRC {format_mapped(self.source)}")
        if self.is_local:
            words.append("local")
        if with_table and self.table not in USUAL_TABLES:
            words.append(f"table {self.table}")
        return " ".join(words)


def next_hop(route: Route, address: int) -> int:
    """Who packets for `address` are handed to: the gateway, or itself."""
    gateway = route.gateway
    return (gateway if ipv4_of(gateway) or not is_ipv4(gateway) else 0) or address


def source_for(address: int, addresses: Iterable[tuple[int, int]]) -> int:
    """Of a device's addresses the one whose network `address` is in, by longest prefix; 0 if it is
    in none."""
    found, longest = 0, -1
    for own, length in addresses:
        mask = mask_of_length(length)
        if is_ipv4(own) == is_ipv4(address) and not (own ^ address) & mask and length > longest:
            found, longest = own, length
    return found


class Routes:
    """The table. `generation` grows with every change."""

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._user: list[Route] = []
        self._dummy: list[Route] = []
        self._system: tuple[Route, ...] = ()
        self.rules = Rules()
        #: Table -> its index; under 0 the usual tables together.
        self._indexes: dict[int, _Index] = {}
        self._tables = set(USUAL_TABLES)
        self.generation = 0
        self._devices: frozenset[str] = frozenset()

    def add(
        self, prefix: int, length: int, device: str, gateway: int, mark: int, source: int = 0,
        table: int = TABLE_MAIN,
    ) -> bool:  # fmt: skip
        """Add a route by hand; False if no own address (or not the one that is wanted) is in the
        network of where it leads to, or of the gateway."""
        addresses = self._addresses(device)
        if source:
            addresses = tuple((own, bits) for own, bits in addresses if own == source)
        source = source_for(prefix, addresses)
        if not source and gateway:
            source = source_for(gateway, addresses)
        if not source:
            return False
        prefix &= mask_of_length(length)
        route = Route(prefix, length, device, gateway, source, mark, is_user=True, table=table)
        self._user = [other for other in self._user if not _is_same(other, route)] + [route]
        self._changed()
        return True

    def remove(self, prefix: int, length: int, mark: int, table: int = TABLE_MAIN) -> bool:
        """Remove one that was added by hand; False if there is none."""
        gone = Route(prefix & mask_of_length(length), length, "", mark=mark, table=table)
        kept = [route for route in self._user if not _is_same(route, gone)]
        if len(kept) == len(self._user):
            return False
        self._user = kept
        self._changed()
        return True

    def add_own(self, device: str, address: int, length: int) -> None:
        """An address that a dummy device was given, and its network, as a system would have it."""
        network = address & mask_of_length(length)
        for route in (
            Route(address, FULL_LENGTH, device, source=address, is_local=True, table=TABLE_LOCAL),
            Route(network, length, device, source=address),
        ):
            self._dummy = [other for other in self._dummy if not _is_same(other, route)] + [route]
        self._changed()

    def remove_own(self, device: str) -> None:
        """The dummy device of that name is gone."""
        self._dummy = [route for route in self._dummy if route.device != device]
        self._changed()

    def set_system(self, routes: tuple[Route, ...]) -> None:
        """The routes of the host: of several to one network in one table the last. Tables that have
        become empty are forgotten."""
        found = {(*_name(route), route.is_user): route for route in routes}
        routes = tuple(found.values())
        if routes != self._system:
            self._system = routes
            self._tables = set(USUAL_TABLES)
            self._changed()

    @property
    def tables(self) -> frozenset[int]:
        """The tables that there are: the usual ones, and those that have routes, or had some until
        a person removed them."""
        return frozenset(self._tables)

    def _changed(self) -> None:
        self.generation += 1
        self._devices = frozenset(
            route.device for route in (*self._system, *self._dummy, *self._user)
        )
        tables: dict[int, list[Route]] = {0: []}
        for route in (*self._system, *self._dummy, *self._user):
            tables.setdefault(route.table, []).append(route)
            if route.table in USUAL_TABLES:
                tables[0].append(route)
        self._tables |= set(tables) - {0}
        self._indexes = {table: _index(routes) for table, routes in tables.items()}

    def add_rule(self, rule: Rule) -> None:
        """Add a rule by hand."""
        self.rules.add(rule)
        self.generation += 1

    def remove_rule(self, wanted: Rule, priority: int | None) -> bool:
        """Remove a rule that was added by hand (see `Rules.remove`)."""
        is_gone = self.rules.remove(wanted, priority)
        self.generation += is_gone
        return is_gone

    def set_system_rules(self, rules: tuple[Rule, ...]) -> None:
        """The rules of the host."""
        self.generation += self.rules.set_system(rules)

    def lookup(self, address: int, mark: int = 0, source: int = 0) -> Route | None:
        """The route to `address` for packets with `mark`. With a `source`, that must be the host's
        own, and the route's is that."""
        if source:
            own = self._find(source, mark, 0)
            if own is None or not own.is_local:
                return None
        return self._find(address, mark, source)

    def _find(self, address: int, mark: int, source: int) -> Route | None:
        tables = [0] if self.rules.are_usual else self.rules.tables(address, source)
        for table in tables:
            for (_, length, route_mark, _), routes in self._indexes.get(table, {}).items():
                found = routes.get(address & mask_of_length(length))
                # All of IPv4 is in ::/0, but not meant by it.
                if found and route_mark == mark and is_ipv4(found.prefix) == is_ipv4(address):
                    return found
        return None

    def devices(self) -> frozenset[str]:
        return self._devices

    def __iter__(self) -> Iterator[Route]:
        return iter((*self._system, *self._dummy, *self._user))


#: (table, length, mark, was it added by hand) -> prefix -> route: the usual tables in the order in
#: which they are asked, which is that of their numbers backwards; in each the longest first.
_Index = dict[tuple[int, int, int, bool], dict[int, Route]]


def _index(routes: list[Route]) -> _Index:
    index: _Index = {}
    for route in routes:
        name = (route.table, route.length, route.mark, route.is_user)
        index.setdefault(name, {})[route.prefix] = route
    order = sorted(index, key=lambda name: (name[0], name[1], name[3]), reverse=True)
    return {name: index[name] for name in order}


def _is_same(one: Route, other: Route) -> bool:
    return _name(one) == _name(other)


def _name(route: Route) -> tuple[int, int, int, int]:
    return route.prefix, route.length, route.mark, route.table
