"""What a killed switch daemon costs when an agent has its successor wait for the flows: nothing,
on the kernel data path, for who talks already; and nobody waits for ever.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from bench.resilience import Trial, World
from tests.support.kernel_programs import require_programs
from tests.support.peers import require_services
from tests.support.switches import needs_root, own_tools

from netloom.lab.cloud import Cloud
from netloom.network.agents.l2.restoring import LIMIT_S

pytestmark = [needs_root, pytest.mark.root]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    require_programs()
    require_services()
    tools = own_tools(tmp_path_factory.mktemp("t") / "t")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NETLOOM_SYSTEM_DATAPATH", "kernel")
        with Cloud("restored", programs=tools, tunnels=("vxlan",)) as cloud:
            yield World(cloud)


def trial(world: World, name: str) -> Trial:
    return next(one for one in world.trials() if one.name == name)


@pytest.mark.parametrize("daemons", ["ovs-vswitchd", "both daemons"])
@pytest.mark.parametrize("host", ["node1", "node2", "net"])
def test_no_packet_of_those_who_talk_is_lost_with_a_switch_daemon(
    world: World, host: str, daemons: str
) -> None:
    for one in world.run(trial(world, f"{daemons} of {host}")):
        assert one.asked > 50
        assert one.lost == 0, one


def test_an_agent_that_is_killed_with_its_switch_completes_the_work_when_it_starts(
    world: World,
) -> None:
    host = world.cloud.hosts["node1"]
    agent = host.agents["l2"]

    def strike() -> None:
        agent.kill()
        host.switch.kill("ovs-vswitchd")
        host.switch.start_vswitchd()
        assert not host.switch.run("ovs-ofctl", "dump-flows", "br-tun").stdout.count("actions")
        agent.start()

    usual = trial(world, "ovs-vswitchd of node1")
    for one in world.run(Trial("agent and daemon", strike, usual.is_well)):
        assert one.lost == 0, one
    world.cloud.wait("the next daemon is to wait", lambda: world.is_prepared(host))


def test_an_agent_that_ends_in_good_order_has_no_daemon_wait(world: World) -> None:
    host = world.cloud.hosts["node2"]
    agent = host.agents["l2"]
    world.cloud.wait("a daemon is to wait", lambda: world.is_prepared(host))
    agent.kill(signal.SIGTERM)
    assert not world.is_prepared(host)
    agent.start()
    world.cloud.wait("a daemon is to wait again", lambda: world.is_prepared(host))


def test_a_daemon_that_no_agent_comes_to_goes_on_by_itself(world: World) -> None:
    host = world.cloud.hosts["node2"]
    agent, switch = host.agents["l2"], host.switch
    log = host.directory / "ovs-vswitchd.log"
    world.cloud.wait("a daemon is to wait", lambda: world.is_prepared(host))
    agent.kill()
    switch.kill("ovs-vswitchd")
    switch.run("ovs-vsctl", "--no-wait", "set", "open", ".", "other_config:flow-restore-timeout=3")
    switch.start_vswitchd()
    source, (_, target) = world.source, world.streams["to the other host"]
    world.cloud.wait(
        "the daemon goes on", lambda: "going on without them" in log.read_text(), LIMIT_S
    )
    # Its tables are empty; the flows of before go one by one.
    world.cloud.wait("nothing passes any more", lambda: not source.ping(target, 1, 0.5), LIMIT_S)
    agent.start()
    world.cloud.wait("all is well", trial(world, "ovs-vswitchd of node2").is_well)
