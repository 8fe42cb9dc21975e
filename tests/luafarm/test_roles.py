"""The life of the roles: events in, exact actions out."""

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luafarm.roles import (
    FIRST_PAUSE_S,
    GIVE_UP,
    LONGEST_PAUSE_S,
    STEADY_S,
    STOP_ORDER,
    Action,
    End,
    Kill,
    Roles,
    Start,
    Stop,
)

NAMES = ("broker", "vmhost", "fcgi")
KILLED = -signal.SIGKILL
PATIENCE_S = 10.0


def begun() -> Roles:
    roles = Roles(NAMES, PATIENCE_S)
    assert roles.begin(0.0) == [Start("broker"), Start("vmhost"), Start("fcgi")]
    return roles


def test_a_role_that_dies_is_started_again_after_a_pause() -> None:
    roles = begun()
    assert roles.exited("broker", KILLED, 1.0) == []
    assert roles.next_due() == 1.0 + FIRST_PAUSE_S
    assert roles.tick(1.0) == []
    assert roles.tick(1.0 + FIRST_PAUSE_S) == [Start("broker")]
    assert roles.next_due() is None


def test_the_pause_doubles_up_to_a_limit_while_a_role_keeps_dying() -> None:
    roles = begun()
    roles.ready()
    now = 0.0
    pauses = []
    for _ in range(10):
        roles.exited("fcgi", 1, now)
        due = roles.next_due()
        assert due is not None
        pauses.append(round(due - now, 6))
        now = due
        assert roles.tick(now) == [Start("fcgi")]
    assert pauses[:4] == [0.1, 0.2, 0.4, 0.8]
    assert pauses[-1] == LONGEST_PAUSE_S


def test_a_role_that_lived_for_a_while_starts_at_the_first_pause() -> None:
    roles = begun()
    roles.exited("fcgi", 1, 0.0)
    roles.tick(1.0)
    roles.exited("fcgi", 1, 1.0 + STEADY_S)
    assert roles.pause_s("fcgi") == FIRST_PAUSE_S


def test_wrong_configuration_of_one_role_ends_all_with_2() -> None:
    roles = begun()
    assert roles.exited("vmhost", 2, 0.1) == [Stop("fcgi")]
    assert roles.is_stopping
    assert roles.exited("fcgi", 0, 0.2) == [Stop("broker")]
    assert roles.exited("broker", 0, 0.3) == [End(2)]


def test_a_farm_that_was_never_ready_gives_up() -> None:
    roles = begun()
    now = 0.0
    for _ in range(GIVE_UP - 1):
        assert roles.exited("vmhost", 1, now) == []
        now += 1.0
        assert roles.tick(now) == [Start("vmhost")]
    assert roles.exited("vmhost", 1, now) == [Stop("fcgi")]
    roles.exited("fcgi", 0, now)
    assert roles.exited("broker", 0, now) == [End(1)]


def test_a_farm_that_was_ready_never_gives_up() -> None:
    roles = begun()
    roles.ready()
    now = 0.0
    for _ in range(3 * GIVE_UP):
        assert roles.exited("vmhost", 1, now) == []
        now += LONGEST_PAUSE_S
        assert roles.tick(now) == [Start("vmhost")]


def test_roles_stop_one_after_the_other_the_front_first() -> None:
    roles = begun()
    assert roles.stop(1.0) == [Stop("fcgi")]
    assert roles.exited("fcgi", 0, 2.0) == [Stop("vmhost")]
    assert roles.exited("vmhost", 0, 3.0) == [Stop("broker")]
    assert roles.exited("broker", 0, 4.0) == [End(0)]


def test_a_role_that_does_not_stop_in_time_is_killed() -> None:
    roles = begun()
    roles.stop(1.0)
    assert roles.tick(1.0 + PATIENCE_S - 0.1) == []
    assert roles.tick(1.0 + PATIENCE_S) == [Kill("fcgi")]
    assert roles.exited("fcgi", KILLED, 11.1) == [Stop("vmhost")]


def test_stopping_twice_kills_what_is_left() -> None:
    roles = begun()
    roles.stop(1.0)
    roles.exited("fcgi", 0, 2.0)
    assert roles.stop(2.5) == [Kill("broker"), Kill("vmhost")]
    assert roles.exited("broker", KILLED, 2.6) == []
    assert roles.exited("vmhost", KILLED, 2.7) == [End(0)]


def test_a_role_that_waits_for_its_restart_does_not_hold_up_the_end() -> None:
    roles = begun()
    roles.exited("fcgi", KILLED, 0.5)
    assert roles.stop(0.51) == [Stop("vmhost")]
    assert roles.tick(5.0) == []


def test_a_role_that_dies_out_of_turn_at_the_end_is_not_asked_again() -> None:
    roles = begun()
    roles.stop(1.0)
    assert roles.exited("broker", KILLED, 1.1) == []
    assert roles.exited("fcgi", 0, 1.2) == [Stop("vmhost")]
    assert roles.exited("vmhost", 0, 1.3) == [End(0)]


@pytest.mark.parametrize("name", NAMES)
def test_the_stop_order_knows_every_role(name: str) -> None:
    assert name in STOP_ORDER


class Life:
    """The processes that the actions make."""

    def __init__(self) -> None:
        self.roles = Roles(NAMES, PATIENCE_S)
        self.alive: set[str] = set()
        self.ends: list[int] = []
        self.do(self.roles.begin(0.0))

    def do(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Start(role):
                    assert role not in self.alive
                    self.alive.add(role)
                case Stop(role) | Kill(role):
                    assert role in self.alive
                case End(code):
                    assert not self.alive
                    self.ends.append(code)

    def exit(self, role: str, code: int, now: float) -> None:
        self.alive.remove(role)
        self.do(self.roles.exited(role, code, now))


EVENTS = st.tuples(
    st.sampled_from(["exit", "exit", "tick", "stop", "ready"]),
    st.sampled_from(NAMES),
    st.sampled_from([0, 1, 2, -9]),
    st.floats(0, 20),
)


@given(st.lists(EVENTS, max_size=30))
def test_every_life_ends_once_with_everything_ended(
    events: list[tuple[str, str, int, float]],
) -> None:
    life = Life()
    now = 0.0
    for event, role, code, later_s in events:
        now += later_s
        if event == "exit" and role in life.alive:
            life.exit(role, code, now)
        elif event == "tick":
            life.do(life.roles.tick(now))
        elif event == "stop":
            life.do(life.roles.stop(now))
        elif event == "ready":
            life.roles.ready()
    if not life.ends:
        life.do(life.roles.stop(now))
    while life.alive:
        life.exit(min(life.alive), 0, now)
    assert len(life.ends) == 1
