"""What controllers are told of ports, and in which steps."""

from __future__ import annotations

from netloom.base.record import replace
from netloom.ofproto.port_news import PortNews
from netloom.openflow import messages as m

UP = m.PhyPort(1, 0x505400000001, "p1", 0, m.OFPPS_LIVE)


class Heard:
    """News of ports, with what they were told."""

    def __init__(self) -> None:
        self.told: list[tuple[int, int, int]] = []
        self.news = PortNews(self._take)

    def _take(self, reason: int, port: m.PhyPort, before: m.PhyPort | None) -> None:
        self.told.append((reason, port.config, port.state))


def test_a_new_port_comes_to_life_after_it_is_there() -> None:
    heard = Heard()
    heard.news.added(UP)
    assert heard.told == [(m.OFPPR_ADD, 0, 0)]
    heard.news.tell_the_rest()
    assert heard.told[1:] == [(m.OFPPR_MODIFY, 0, m.OFPPS_LIVE)]
    heard.news.tell_the_rest()
    assert len(heard.told) == 2


def test_a_port_that_is_gone_is_not_told_to_live() -> None:
    heard = Heard()
    heard.news.added(UP)
    heard.news.deleted(1)
    heard.news.tell_the_rest()
    assert [reason for reason, _, _ in heard.told] == [m.OFPPR_ADD, m.OFPPR_DELETE]


def test_configuration_is_told_before_what_the_link_makes_of_it() -> None:
    heard = Heard()
    heard.news.added(UP)
    heard.news.tell_the_rest()
    down = replace(UP, config=m.OFPPC_PORT_DOWN, state=m.OFPPS_LINK_DOWN)
    heard.news.configured(UP, down)
    heard.news.tell_the_rest()
    assert heard.told[2:] == [
        (m.OFPPR_MODIFY, m.OFPPC_PORT_DOWN, 0),
        (m.OFPPR_MODIFY, m.OFPPC_PORT_DOWN, m.OFPPS_LINK_DOWN),
    ]


def test_other_configuration_is_told_once() -> None:
    heard = Heard()
    heard.news.added(UP)
    heard.news.tell_the_rest()
    heard.news.configured(UP, replace(UP, config=m.OFPPC_NO_FLOOD))
    heard.news.tell_the_rest()
    assert heard.told[2:] == [(m.OFPPR_MODIFY, m.OFPPC_NO_FLOOD, m.OFPPS_LIVE)]


def test_a_link_that_goes_is_first_seen_to_be_dead() -> None:
    heard = Heard()
    heard.news.added(UP)
    heard.news.tell_the_rest()
    assert heard.news.changed(replace(UP, state=m.OFPPS_LINK_DOWN))
    assert heard.told[2:] == [(m.OFPPR_MODIFY, 0, 0), (m.OFPPR_MODIFY, 0, m.OFPPS_LINK_DOWN)]
    assert not heard.news.changed(replace(UP, state=m.OFPPS_LINK_DOWN))
