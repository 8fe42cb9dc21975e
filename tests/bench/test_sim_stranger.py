"""The adapter under a simulator that only knows the interface."""

import pytest

from tests.bench.stranger import World


def drive(
    seed: int, *, fronts: int = 1, losses: int = 0, rate: float = 1500.0
) -> World:
    """Let random requests come for two seconds, and give the farm time to answer."""
    world = World(seed, fronts=fronts)
    chance = world.chance
    scripts = range(len(world.service_s))
    weights = [1.0 / (n + 1) for n in scripts]
    mean = sum(w * s for w, s in zip(weights, world.service_s, strict=True))
    rate = min(rate, 0.5 * len(world.hosts) / (mean / sum(weights)))
    at, n = 0.0, 0
    while at < 2.0:
        (script,) = chance.choices(scripts, weights)
        front = chance.randrange(fronts)
        world.at(at, lambda n=n, s=script, f=front: world.request(n, s, f))
        at += chance.expovariate(rate)
        n += 1
    for _ in range(losses):
        host = chance.randrange(len(world.hosts))
        down_s = chance.uniform(0.05, 0.5)
        world.at(
            chance.uniform(0.1, 1.5),
            lambda h=host, d=down_s: world.lose(h, d),
        )
    world.run(until=15.0)
    return world


@pytest.mark.parametrize("seed", range(1, 7))
def test_every_request_is_answered_once_and_no_rule_is_broken(seed: int) -> None:
    world = drive(seed)
    assert world.answered == set(world.requests)
    assert all(times == 1 for times in world.started.values())
    assert world.evictions > 0


@pytest.mark.parametrize("seed", range(11, 15))
def test_several_fronts_share_the_hosts(seed: int) -> None:
    world = drive(seed, fronts=3)
    assert world.answered == set(world.requests)
    assert all(times == 1 for times in world.started.values())


@pytest.mark.parametrize("seed", range(21, 27))
def test_hosts_are_lost_and_come_back(seed: int) -> None:
    world = drive(seed, fronts=2, losses=6)
    assert world.answered == set(world.requests)


def test_half_of_the_hosts_are_lost_at_once_and_come_back() -> None:
    world = World(31, fronts=1)
    for n in range(2000):
        script = n % len(world.service_s)
        world.at(n / 1000, lambda n=n, s=script: world.request(n, s, 0))
    for host in range(0, len(world.hosts), 2):
        world.at(0.7, lambda h=host: world.lose(h, 0.4))
    world.run(until=20.0)
    assert world.answered == set(world.requests)


def test_nothing_old_is_started_once_a_change_is_acknowledged() -> None:
    world = World(41, fronts=2)
    for n in range(3000):
        script = n % 6
        world.at(n / 1500, lambda n=n, s=script: world.request(n, s, n % 2))
    for n in range(20):
        world.at(0.3 + n / 20, lambda n=n: world.deploy(n % 6))
    world.run(until=15.0)
    assert world.answered == set(world.requests)
    assert len(world.syncs) == 20
    assert all(world.syncs.values())


def test_a_run_ends_when_there_is_nothing_left_to_do() -> None:
    world = World(51)
    world.at(0.0, lambda: world.request(1, 0, 0))
    world.run(until=1.0)
    timers = [event for event in world._events if event[2] != world.tick]
    assert not timers


def test_the_same_seed_gives_the_same_run() -> None:
    runs = [drive(61, fronts=2, losses=3) for _ in range(2)]
    assert runs[0].sends == runs[1].sends
    assert runs[0].loads == runs[1].loads
    assert runs[0].now == runs[1].now
