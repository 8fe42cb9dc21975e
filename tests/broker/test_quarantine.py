"""Scripts that keep killing hosts are refused, longer each time, until they change."""

from typing import Any

from broker.quarantine import Quarantine
from luafarm.config.settings import Broker
from luafarm.names import Script

BAD = Script(b"/r/bad.lua")


def new(**changes: Any) -> Quarantine:
    return Quarantine(Broker(**changes))


def test_the_third_death_within_the_window_is_one_too_many() -> None:
    quarantine = new()
    assert not quarantine.blame(BAD, "why", 0.0)
    assert not quarantine.blame(BAD, "why", 10.0)
    assert quarantine.blame(BAD, "why", 20.0)
    assert quarantine.remaining_s(BAD, 20.0) == 30.0
    assert quarantine.remaining_s(BAD, 50.0) == 0.0


def test_deaths_outside_the_window_do_not_add_up() -> None:
    quarantine = new()
    assert not any(quarantine.blame(BAD, "why", 31.0 * i) for i in range(50))


def test_one_death_after_the_pause_is_enough_and_the_pause_doubles() -> None:
    quarantine = new()
    now = 0.0
    for _ in range(3):
        quarantine.blame(BAD, "why", now)
    pauses = []
    for _ in range(7):
        pauses.append(quarantine.remaining_s(BAD, now))
        now += pauses[-1] + 1.0
        assert quarantine.blame(BAD, "why", now)
    assert pauses == [30.0, 60.0, 120.0, 240.0, 480.0, 900.0, 900.0]


def test_a_long_time_without_a_death_is_a_new_chance() -> None:
    quarantine = new(quarantine_deaths=2)
    assert not quarantine.blame(BAD, "why", 0.0)
    assert quarantine.blame(BAD, "why", 1.0)
    assert not quarantine.blame(BAD, "why", 932.0)


def test_a_changed_file_is_a_new_chance() -> None:
    quarantine = new()
    for _ in range(3):
        quarantine.blame(BAD, "why", 0.0)
    assert quarantine.pardon(BAD)
    assert quarantine.remaining_s(BAD, 0.0) == 0.0
    assert not quarantine.blame(BAD, "why", 1.0)
    assert not quarantine.pardon(Script(b"/r/good.lua"))


def test_zero_deaths_means_never() -> None:
    quarantine = new(quarantine_deaths=0)
    assert not any(quarantine.blame(BAD, "why", 0.0) for _ in range(100))


def test_suspects_are_forgotten_when_there_are_too_many() -> None:
    quarantine = new()
    for i in range(10_000):
        quarantine.blame(Script(b"/r/%d" % i), "why", float(i) / 1000)
    assert len(quarantine) <= 4096


def test_each_end_is_told_once() -> None:
    quarantine = new(quarantine_deaths=1)
    quarantine.blame(BAD, "why", 0.0)
    assert quarantine.released(29.0) == []
    assert quarantine.released(30.0) == [BAD]
    assert quarantine.released(31.0) == []
