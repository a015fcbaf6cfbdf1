"""Two operators of one cluster, divided by labels."""

from tests.integration.operator.world import CLUSTERS, World


def label(world: World, name: str, shard: str) -> None:
    world.cluster.request("PATCH", f"{CLUSTERS}/{name}", {"metadata": {"labels": {"shard": shard}}})


def started(world: World) -> list[list[str]]:
    """Which MonitoredClusters each operator has begun to watch, in order."""
    return [
        [line["cluster"] for line in operator.log() if line.get("event") == "monitored_cluster_started"]
        for operator in world.operators
    ]


def test_each_handles_its_own(world: World) -> None:
    """Each operator watches what its selector names and writes nothing to the rest; a label hands a cluster over, and
    a MonitoredCluster that nobody selects is nobody's.
    """
    for name, shard in (("alpha", "a"), ("beta", "b"), ("gamma", "none")):
        world.monitor(name)
        label(world, name, shard)
    world.start(POLICYHUB_WATCH_SELECTOR="shard=a")
    world.start(POLICYHUB_WATCH_SELECTOR="shard in (b, c)")
    world.await_condition("Ready", "True", name="alpha")
    world.await_condition("Ready", "True", name="beta")
    assert started(world) == [["alpha"], ["beta"]]
    assert world.monitored("gamma")["status"] == {"observedGeneration": -1}

    label(world, "alpha", "c")
    world.until(lambda: started(world) == [["alpha"], ["beta", "alpha"]], "the other operator to take alpha")
    first = world.operators[0]
    world.until(
        lambda: any(line.get("event") == "monitored_cluster_given_up" for line in first.log()), "it to be given up"
    )
    assert not first.metric("policyhub_in_sync")
