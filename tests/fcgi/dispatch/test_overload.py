"""More than a farm can do, in simulated time: what is served, how late, who is refused.

Four VM hosts share two processors. Requests come at random times from a seed; nothing
here depends on the machine that runs the test.
"""

import pytest

from fcgi.dispatch.admission import USUAL
from tests.fcgi.dispatch.overload import (
    TARGET_S,
    TIMEOUT_S,
    Ask,
    Farm,
    Fate,
    merged,
    random_asks,
    share,
)

ONE, TWO = b"/srv/one.lua", b"/srv/two.lua"
WORK_S = 0.005
CAPACITY = 2 / WORK_S  # requests per second
SECONDS = 20.0


def served(farm: Farm, script: bytes = ONE) -> list[Fate]:
    return [f for f in farm.fates if f.ask.script == script and f.ended >= 0]


def refused(farm: Farm, script: bytes = ONE) -> list[Fate]:
    return [f for f in farm.fates if f.ask.script == script and f.refused >= 0]


def waits(fates: list[Fate]) -> list[float]:
    return [fate.waited for fate in fates]


def goodput(farm: Farm, begin: float, end: float) -> float:
    """Return which part of the processors' time went into what was answered."""
    done = [f.ask.work_s for f in farm.fates if begin <= f.ended < end]
    return sum(done) / (2 * (end - begin))


def overloaded(
    times: float, seed: int, work_s: float = WORK_S, seconds: float = SECONDS
) -> Farm:
    farm = Farm()
    farm.place(ONE)
    farm.play(random_asks(seed, ONE, work_s, times * 2 / work_s, 0.0, seconds))
    return farm


@pytest.mark.parametrize("work_s", [0.005, 0.02])
@pytest.mark.parametrize("times", [0.5, 0.9])
def test_what_a_farm_can_do_is_not_refused(times: float, work_s: float) -> None:
    farm = overloaded(times, 1, work_s)
    assert len(refused(farm)) <= 0.005 * len(farm.fates)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    ("times", "seconds"), [(1.5, SECONDS), (3.0, SECONDS), (10.0, 4.0)]
)
def test_what_is_too_much_is_refused_at_once_and_the_rest_served_soon(
    times: float, seconds: float, seed: int
) -> None:
    farm = overloaded(times, seed, seconds=seconds)
    good, bad = served(farm), refused(farm)
    assert len(good) + len(bad) == len(farm.fates)
    assert goodput(farm, 0.0, seconds) >= 0.99
    assert all(fate.refused == fate.ask.at for fate in bad)
    assert {fate.retry_after_s for fate in bad} == {1, 2}
    usual = [w for f, w in zip(good, waits(good), strict=True) if f.ask.at > 1.0]
    assert share(usual, 0.99) <= 1.5 * TARGET_S  # once it has begun
    if times <= 3.0:
        assert share(waits(good), 0.99) <= 2.0 * TARGET_S
    assert max(waits(good)) <= 8.0 * TARGET_S
    assert max(f.ended for f in good) <= seconds + 0.3


@pytest.mark.parametrize("work_s", [0.002, 0.02, 0.05])
def test_the_same_for_other_scripts(work_s: float) -> None:
    farm = overloaded(3.0, 3, work_s)
    assert goodput(farm, 0.0, SECONDS) >= 0.98
    assert all(fate.refused == fate.ask.at for fate in refused(farm))
    # on half of a processor each request takes twice its work
    target = max(TARGET_S, USUAL * 2 * work_s)
    assert share(waits(served(farm)), 0.5) <= 1.2 * target
    assert share(waits(served(farm)), 0.98) <= 2.0 * target


@pytest.mark.parametrize("number", [2, 4])
def test_fronts_that_do_not_see_each_other_take_no_more_than_one(number: int) -> None:
    farm = Farm(number=number)
    farm.place(ONE)
    farm.play(random_asks(1, ONE, WORK_S, 3 * CAPACITY, 0.0, SECONDS))
    good = served(farm)
    assert goodput(farm, 0.0, SECONDS) >= 0.99
    assert all(fate.refused == fate.ask.at for fate in refused(farm))
    assert share(waits(good), 0.98) <= 2.5 * TARGET_S
    assert max(fate.ended for fate in good) <= SECONDS + 0.4


def test_all_is_normal_soon_after_a_burst() -> None:
    farm = Farm()
    farm.place(ONE)
    farm.play(
        merged(
            random_asks(1, ONE, WORK_S, 3 * CAPACITY, 0.0, 5.0),
            random_asks(2, ONE, WORK_S, 0.3 * CAPACITY, 5.0, 10.0),
        )
    )
    after = [fate for fate in farm.fates if fate.ask.at >= 5.25]
    assert all(fate.ended >= 0 for fate in after)
    assert max(waits(after)) <= 0.05


@pytest.mark.parametrize("quick_s", [0.0002, 0.005])
def test_a_script_that_others_flood_is_served_as_if_alone(quick_s: float) -> None:
    farm = Farm()
    farm.place(ONE, TWO)
    flood = random_asks(1, ONE, WORK_S, 3 * CAPACITY, 1.0, 11.0)
    farm.play(merged(flood, random_asks(2, TWO, quick_s, 20.0, 0.0, 12.0)))
    assert refused(farm, TWO) == []
    assert share(waits(served(farm, TWO)), 0.99) <= 0.011


@pytest.mark.parametrize("number", [10, 100])
def test_too_much_of_many_scripts_is_refused_as_well(number: int) -> None:
    farm = Farm()
    scripts = [b"/srv/%d.lua" % n for n in range(number)]
    farm.place(*scripts)
    rate = 3 * CAPACITY / number
    farm.play(
        merged(
            *[
                random_asks(n, script, WORK_S, rate, 0.0, SECONDS)
                for n, script in enumerate(scripts)
            ]
        )
    )
    good = [fate for fate in farm.fates if fate.ended >= 0]
    assert goodput(farm, 0.0, SECONDS) >= 0.99
    assert all(f.refused == f.ask.at for f in farm.fates if f.refused >= 0)
    usual = [fate.waited for fate in good if fate.ask.at > 3.0]
    assert share(usual, 0.5) <= 1.5 * TARGET_S
    assert share(usual, 0.99) <= 4.0 * TARGET_S
    counts = [len(served(farm, script)) for script in scripts]
    assert min(counts) > 0.3 * max(counts)


def test_twenty_that_wait_two_seconds_each_are_all_served_by_four_hosts() -> None:
    farm = Farm(cores=4.0)  # they sleep, so no processor is short
    farm.place(ONE)
    farm.play([Ask(0.0, ONE, 2.0)])
    farm.play([Ask(3.0 + n / 100, ONE, 2.0) for n in range(20)])
    assert refused(farm) == []


@pytest.mark.parametrize(("number", "work_s"), [(64, 0.02), (200, 0.005)])
def test_a_burst_is_served_whole(number: int, work_s: float) -> None:
    farm = Farm()
    farm.place(ONE)
    farm.play([Ask(0.0, ONE, work_s)])
    farm.play([Ask(1.0 + n / 5000, ONE, work_s) for n in range(number)])
    assert refused(farm) == []


@pytest.mark.parametrize("outage_s", [1.0, 5.0])
def test_an_outage_of_a_farm_that_is_not_busy_refuses_nothing(outage_s: float) -> None:
    farm = Farm()
    farm.place(ONE)
    asks = random_asks(1, ONE, WORK_S, 0.4 * CAPACITY, 0.0, 15.0)
    farm.play(asks, (3.0, farm.stop), (3.0 + outage_s, farm.go_on))
    assert refused(farm) == []
    assert max(waits(served(farm))) <= outage_s + 0.1


def test_a_cold_script_keeps_what_waits_for_its_load() -> None:
    farm = Farm()
    asks = random_asks(1, ONE, WORK_S, 0.4 * CAPACITY, 0.0, 10.0)
    farm.play(asks, (2.0, lambda: farm.place(ONE)))
    assert refused(farm) == []
    assert max(waits(served(farm))) <= 2.1


def test_an_outage_longer_than_queue_timeout_refuses_what_waited_for_so_long() -> None:
    farm = Farm()
    farm.place(ONE)
    asks = random_asks(1, ONE, WORK_S, 10.0, 0.0, 20.0)
    farm.play(asks, (1.0, farm.stop), (15.0, farm.go_on))
    bad = refused(farm)
    assert bad
    assert all(TIMEOUT_S <= f.refused - f.ask.at <= TIMEOUT_S + 0.2 for f in bad)
    assert all(fate.ended >= 0 for fate in farm.fates if fate.ask.at >= 5.0)
