"""Samples that are shown on this machine (Flow_Sample_Collector_Set:local_group_id)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from netloom.base.errors import CommandError
from netloom.base.log import CONSOLE, WARN, vlog
from netloom.base.record import replace
from netloom.ofproto.settings import ExportSettings
from netloom.openflow import messages_meters as mm
from netloom.telemetry.ipfix import IpfixSettings

sys.path.insert(0, str(Path(__file__).parents[2] / "trace"))
from small_switch import SmallSwitch

SET = "collector_set_id={},obs_domain_id=100,obs_point_id=200"
PSAMPLE = "psample(group=42,cookie=0x64000000c8)"
UPCALL = (
    "userspace(pid=0,flow_sample(probability=32767,collector_set_id=1,obs_domain_id=100,"
    "obs_point_id=200,output_port=4294967295))"
)


@pytest.fixture
def switch(capsys: pytest.CaptureFixture[str]) -> SmallSwitch:
    vlog.set_level(WARN, "bridge", CONSOLE)
    switch = SmallSwitch()
    switch.add_bridge("br0")
    for number in (1, 2, 3):
        switch.add_port("br0", f"p{number}", number, {})
    half, whole = (f"sample(probability={n},{SET})" for n in (32767, 65535))
    switch.replace_flows(
        "br0",
        f"in_port=1 actions={half.format(1)},3\nin_port=2 actions={half.format(20)},3\n"
        f"in_port=3 actions={whole.format(1)}\n",
    )
    return switch


def configure(switch: SmallSwitch, **more: object) -> None:
    bridge = switch.backer.bridges["br0"]
    exports = ExportSettings(local_groups=((1, 42),), **more)  # type: ignore[arg-type]
    bridge.configure(replace(bridge.settings, exports=exports))


def actions(switch: SmallSwitch, port: int) -> str:
    last = switch.control("ofproto/trace", "br0", f"in_port={port}").splitlines()[-1]
    return last.removeprefix("Datapath actions: ")


def test_a_data_path_that_cannot_is_said_aloud(
    switch: SmallSwitch, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(switch)
    assert actions(switch, 1) == "3"
    said = capsys.readouterr().err
    assert "bridge br0: ignoring local sampling configuration: not supported" in said
    assert "psample action: No" in switch.control("dpif/show-dp-features", "br0")


def test_a_feature_that_is_not_there_is_switched_on_by_force_only(switch: SmallSwitch) -> None:
    said = switch.control("dpif/set-dp-features", "br0", "psample", "true")
    assert said == "Can not enable features not supported by the datapth\n"
    assert switch.control("dpif/set-dp-features", "--force", "br0", "psample", "true") == ""
    assert "[run time]:true, [boot time]:false" in switch.control(
        "dpif/set-dp-features", "br0", "psample"
    )
    with pytest.raises(CommandError, match="no such bridge"):
        switch.control("dpif/set-dp-features", "--force")


def test_samples_of_the_set_are_shown(switch: SmallSwitch) -> None:
    switch.control("dpif/set-dp-features", "--force", "br0", "psample", "true")
    configure(switch)
    assert actions(switch, 1) == f"sample(sample=50.0%,actions({PSAMPLE})),3"
    assert actions(switch, 2) == "3"
    assert actions(switch, 3) == PSAMPLE


def test_only_what_comes_up_is_metered(switch: SmallSwitch) -> None:
    switch.control("dpif/set-dp-features", "--force", "br0", "psample", "true")
    configure(switch, collector_sets=(IpfixSettings(("127.0.0.1:4739",), set_id=1),))
    assert actions(switch, 1) == f"sample(sample=50.0%,actions({PSAMPLE},{UPCALL})),3"
    band = mm.MeterBand(mm.OFPMBT_DROP, 2)
    bridge = switch.backer.bridges["br0"]
    bridge.meters.add(mm.MeterMod(mm.OFPMC_ADD, mm.OFPM_SLOWPATH, mm.OFPMF_PKTPS, (band,)), 0)
    assert actions(switch, 1) == f"sample(sample=50.0%,actions({PSAMPLE},meter(0),{UPCALL})),3"
    configure(switch)
    assert actions(switch, 1) == f"sample(sample=50.0%,actions({PSAMPLE})),3"


def test_what_is_only_shown_is_dropped_explicitly(switch: SmallSwitch) -> None:
    switch.control("dpif/set-dp-features", "--force", "br0", "psample", "true")
    configure(switch)
    switch.backer.explicit_sampled_drops = True
    assert actions(switch, 3) == f"{PSAMPLE},drop"


def test_packets_that_are_shown_go_on(switch: SmallSwitch) -> None:
    switch.control("dpif/set-dp-features", "--force", "br0", "psample", "true")
    configure(switch)
    sent = []
    for _ in range(2):
        switch.devices.find("p1").inject(bytes(60))
        for _ in range(3):
            switch.backer.run()
        sent.append(len(switch.devices.find("p3").sent))
    assert sent == [1, 2]
