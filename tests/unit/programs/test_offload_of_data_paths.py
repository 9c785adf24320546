"""Data paths of the daemon, and what hardware there is for them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from netloom.base.counters import Counters
from netloom.base.log import CONSOLE, WARN, vlog
from netloom.datapath.offload import OffloadSettings
from netloom.netdev.dummy import DummyFactory
from netloom.programs.vswitchd_datapaths import DataPathSet
from netloom.transport.loop import MainLoop
from netloom.vswitchd.wish import LimitsWish

SAID = (
    "dpif_offload|WARN|netdev@ovs-netdev: other_config:hw-offload changes nothing: no device of it "
    "runs flows by itself"
)


@pytest.fixture
def paths() -> Iterator[DataPathSet]:
    vlog.set_level(WARN, "dpif_offload", CONSOLE)
    devices = DummyFactory(None, "override")
    loop = MainLoop()
    paths = DataPathSet(loop, Counters(), devices, "override", has_system=False)
    yield paths
    paths.close()
    loop.aio.close()


@pytest.mark.parametrize("is_early", [False, True])
def test_data_paths_without_hardware_say_so_once(
    paths: DataPathSet, capsys: pytest.CaptureFixture[str], is_early: bool
) -> None:
    wish = LimitsWish(offload=OffloadSettings(enabled=True))
    if is_early:
        paths.set_limits(wish)
    for name, type_ in (("br0", "netdev"), ("br1", "dummy")):
        paths.create_bridge(name, type_)
    paths.set_limits(wish)
    paths.set_limits(LimitsWish(n_flows=7, offload=wish.offload))
    said = [line.split("|", 2)[2] for line in capsys.readouterr().err.splitlines()]
    assert [line for line in said if line.startswith("dpif_offload|")] == [SAID]


def test_the_order_is_that_of_the_first_configuration(paths: DataPathSet) -> None:
    paths.set_limits(LimitsWish())
    paths.set_limits(LimitsWish(offload=OffloadSettings(order="dummy_x")))
    paths.create_bridge("br1", "dummy")
    (dpif,) = paths.dpifs()
    assert dpif.hardware is not None
    assert [provider.type for provider in dpif.hardware.providers] == ["dummy", "dummy_x"]


def test_data_paths_that_people_make_have_hardware_too(paths: DataPathSet) -> None:
    dpif = paths.spare.add_datapath("dummy", "d1")
    assert dpif.hardware is not None
    assert [port.name for port in dpif.hardware.providers[0].ports()] == ["d1"]
