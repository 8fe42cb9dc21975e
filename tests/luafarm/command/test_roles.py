"""The life of the roles: events in, exact actions out."""

import signal
from math import inf

from hypothesis import example, given
from hypothesis import strategies as st

from luafarm.command.roles import (
    FIRST_PAUSE_S,
    FRESH_S,
    GIVE_UP,
    LONGEST_PAUSE_S,
    STEADY_S,
    Action,
    End,
    Kill,
    Retire,
    Roles,
    Start,
    Stop,
)

STAGES = (("fcgi",), ("vmhost",), ("broker",))
NAMES = ("broker", "vmhost", "fcgi")
BROKER, VMHOST, FCGI = 1, 2, 3  # the first child of each
KILLED = -signal.SIGKILL
PATIENCE_S = 10.0


def begun() -> Roles:
    roles = Roles(STAGES, PATIENCE_S)
    assert roles.begin(0.0) == [
        Start("broker", BROKER),
        Start("vmhost", VMHOST),
        Start("fcgi", FCGI),
    ]
    return roles


def test_a_role_that_dies_is_started_again_after_a_pause() -> None:
    roles = begun()
    assert roles.exited(BROKER, KILLED, 1.0) == []
    assert roles.next_due() == 1.0 + FIRST_PAUSE_S
    assert roles.tick(1.0) == []
    assert roles.tick(1.0 + FIRST_PAUSE_S) == [Start("broker", 4)]
    assert roles.next_due() is None


def test_the_pause_doubles_up_to_a_limit_while_a_role_keeps_dying() -> None:
    roles = begun()
    roles.ready()
    now = 0.0
    pauses = []
    for child in range(FCGI, FCGI + 10):
        roles.exited(child, 1, now)
        due = roles.next_due()
        assert due is not None
        pauses.append(round(due - now, 6))
        now = due
        assert roles.tick(now) == [Start("fcgi", child + 1)]
    assert pauses[:4] == [0.1, 0.2, 0.4, 0.8]
    assert pauses[-1] == LONGEST_PAUSE_S


def test_a_role_that_lived_for_a_while_starts_at_the_first_pause() -> None:
    roles = begun()
    roles.exited(FCGI, 1, 0.0)
    roles.tick(1.0)
    roles.exited(4, 1, 1.0 + STEADY_S)
    assert roles.pause_s("fcgi") == FIRST_PAUSE_S


def test_wrong_configuration_of_one_role_ends_all_with_2() -> None:
    roles = begun()
    assert roles.exited(VMHOST, 2, 0.1) == [Stop(FCGI)]
    assert roles.is_stopping
    assert roles.exited(FCGI, 0, 0.2) == [Stop(BROKER)]
    assert roles.exited(BROKER, 0, 0.3) == [End(2)]


def test_a_farm_that_served_outlives_a_configuration_that_was_broken_since() -> None:
    roles = begun()
    roles.ready()
    assert roles.exited(FCGI, 2, 1.0) == []
    assert roles.tick(1.0 + FIRST_PAUSE_S) == [Start("fcgi", 4)]


def test_a_farm_that_was_never_ready_gives_up() -> None:
    roles = begun()
    now = 0.0
    child = VMHOST
    for following in range(4, 3 + GIVE_UP):
        assert roles.exited(child, 1, now) == []
        now += 1.0
        assert roles.tick(now) == [Start("vmhost", following)]
        child = following
    assert roles.exited(child, 1, now) == [Stop(FCGI)]
    roles.exited(FCGI, 0, now)
    assert roles.exited(BROKER, 0, now) == [End(1)]


def test_a_farm_that_was_ready_never_gives_up() -> None:
    roles = begun()
    roles.ready()
    now = 0.0
    child = VMHOST
    for following in range(4, 4 + 3 * GIVE_UP):
        assert roles.exited(child, 1, now) == []
        now += LONGEST_PAUSE_S
        assert roles.tick(now) == [Start("vmhost", following)]
        child = following


def test_roles_stop_one_after_the_other_the_front_first() -> None:
    roles = begun()
    assert roles.stop(1.0) == [Stop(FCGI)]
    assert roles.exited(FCGI, 0, 2.0) == [Stop(VMHOST)]
    assert roles.exited(VMHOST, 0, 3.0) == [Stop(BROKER)]
    assert roles.exited(BROKER, 0, 4.0) == [End(0)]


def test_a_role_that_does_not_stop_in_time_is_killed() -> None:
    roles = begun()
    roles.stop(1.0)
    assert roles.tick(1.0 + PATIENCE_S - 0.1) == []
    assert roles.tick(1.0 + PATIENCE_S) == [Kill(FCGI)]
    assert roles.exited(FCGI, KILLED, 11.1) == [Stop(VMHOST)]


def test_stopping_twice_kills_what_is_left() -> None:
    roles = begun()
    roles.stop(1.0)
    roles.exited(FCGI, 0, 2.0)
    assert roles.stop(2.5) == [Kill(BROKER), Kill(VMHOST)]
    assert roles.exited(BROKER, KILLED, 2.6) == []
    assert roles.exited(VMHOST, KILLED, 2.7) == [End(0)]


def test_a_role_that_waits_for_its_restart_does_not_hold_up_the_end() -> None:
    roles = begun()
    roles.exited(FCGI, KILLED, 0.5)
    assert roles.stop(0.51) == [Stop(VMHOST)]
    assert roles.tick(5.0) == []


def test_a_role_that_dies_out_of_turn_at_the_end_is_not_asked_again() -> None:
    roles = begun()
    roles.stop(1.0)
    assert roles.exited(BROKER, KILLED, 1.1) == []
    assert roles.exited(FCGI, 0, 1.2) == [Stop(VMHOST)]
    assert roles.exited(VMHOST, 0, 1.3) == [End(0)]


# ---- several fronts, and their renewal ---------------------------------------------


def two() -> Roles:
    """Return roles with the broker as child 1 and fronts as children 2 and 3."""
    roles = Roles((("a", "b"), ("broker",)), PATIENCE_S)
    roles.begin(0.0)
    roles.ready()
    return roles


def test_the_fronts_stop_together() -> None:
    roles = two()
    assert roles.stop(1.0) == [Stop(2), Stop(3)]
    assert roles.exited(3, 0, 2.0) == []
    assert roles.exited(2, 0, 2.0) == [Stop(1)]


def test_fronts_are_renewed_one_after_the_other_and_each_overlaps() -> None:
    roles = two()
    assert roles.renew(["a", "b"], 1.0) == [Start("a", 4)]
    assert roles.is_fresh(4)
    assert roles.serves(4, 2.0) == [Retire(2), Start("b", 5)]
    assert roles.is_current(4)
    assert not roles.is_current(2)
    assert roles.serves(5, 3.0) == [Retire(3)]
    assert roles.exited(2, 0, 3.1) == []
    assert roles.exited(3, 0, 3.2) == []
    assert roles.next_due() is None


def test_a_renewal_lasts_until_the_last_fresh_one_serves_or_one_fails() -> None:
    roles = two()
    seen = [roles.is_renewing]
    roles.renew(["a", "b"], 1.0)
    seen.append(roles.is_renewing)
    roles.serves(4, 2.0)
    seen.append(roles.is_renewing)
    roles.serves(5, 3.0)
    seen.append(roles.is_renewing)
    roles.renew(["a", "b"], 4.0)
    roles.fails(6, 4.5)
    seen.append(roles.is_renewing)
    assert seen == [False, True, True, False, False]


def test_a_fresh_front_that_ends_leaves_the_old_ones_where_they_are() -> None:
    roles = two()
    roles.renew(["a", "b"], 1.0)
    assert roles.exited(4, 2, 1.5) == []
    assert roles.is_current(2)
    assert roles.tick(100.0) == []
    assert roles.renew(["b"], 101.0) == [Start("b", 5)]


def test_a_fresh_front_that_knows_no_farm_is_killed() -> None:
    roles = two()
    roles.renew(["a", "b"], 1.0)
    assert roles.fails(4, 4.5) == [Kill(4)]
    assert roles.exited(4, KILLED, 1.5) == []
    assert roles.is_current(2)


def test_a_fresh_front_that_does_not_come_to_serve_is_killed() -> None:
    roles = two()
    roles.renew(["a"], 1.0)
    assert roles.tick(1.0 + FRESH_S) == [Kill(4)]
    assert roles.exited(4, KILLED, 30.0) == []
    assert roles.is_current(2)


def test_a_front_that_dies_while_its_successor_starts_is_succeeded_by_that() -> None:
    roles = two()
    roles.renew(["a", "b"], 1.0)
    assert roles.exited(2, KILLED, 1.5) == []
    assert not roles.is_held("a")
    assert roles.serves(4, 2.0) == [Start("b", 5)]
    assert roles.is_current(4)
    assert roles.is_held("a")


def test_a_successor_that_does_not_come_to_serve_is_killed_though_nobody_is_left() -> (
    None
):
    roles = two()
    roles.renew(["a", "b"], 1.0)
    roles.exited(2, KILLED, 1.5)
    assert roles.next_due() == 1.0 + FRESH_S
    assert roles.tick(1.0 + FRESH_S) == [Kill(4)]
    assert roles.exited(4, KILLED, 42.0) == []
    assert not roles.is_renewing
    assert roles.tick(42.0 + FIRST_PAUSE_S) == [Start("a", 5)]


def test_a_successor_that_knows_no_farm_is_better_than_nobody() -> None:
    roles = two()
    roles.renew(["a", "b"], 1.0)
    roles.exited(2, KILLED, 1.5)
    assert roles.fails(4, 2.0) == []
    assert roles.is_current(4)
    assert not roles.is_renewing


def test_the_end_does_not_wait_for_a_place_that_is_vacant() -> None:
    roles = two()
    roles.renew(["a"], 1.0)
    roles.exited(2, KILLED, 1.5)
    assert roles.stop(2.0) == [Stop(4), Stop(3)]
    roles.exited(4, 0, 3.0)
    assert roles.exited(3, 0, 3.0) == [Stop(1)]
    assert roles.exited(1, 0, 4.0) == [End(0)]


def test_a_front_that_waits_for_its_restart_is_renewed_by_that() -> None:
    roles = two()
    roles.exited(2, KILLED, 1.0)
    assert roles.renew(["a", "b"], 1.01) == [Start("a", 4), Start("b", 5)]
    assert roles.tick(2.0) == []


def test_a_retired_front_that_does_not_end_is_killed() -> None:
    roles = two()
    roles.renew(["a"], 1.0)
    roles.serves(4, 2.0)
    assert roles.tick(2.0 + PATIENCE_S) == [Kill(2)]


def test_the_end_takes_fresh_and_retired_fronts_along() -> None:
    roles = two()
    roles.renew(["a", "b"], 1.0)
    roles.serves(4, 2.0)
    assert roles.stop(3.0) == [Stop(4), Stop(2), Stop(3), Stop(5)]
    assert roles.renew(["a"], 3.0) == []
    assert roles.serves(5, 3.0) == []
    for child in (2, 4, 5):
        assert roles.exited(child, 0, 4.0) == []
    assert roles.exited(3, 0, 4.0) == [Stop(1)]
    assert roles.exited(1, 0, 5.0) == [End(0)]


class Life:
    """The processes that the actions make."""

    def __init__(self) -> None:
        self.roles = Roles((("a", "b"), ("vmhost",), ("broker",)), PATIENCE_S)
        self.alive: dict[int, str] = {}
        self.ends: list[int] = []
        self.do(self.roles.begin(0.0))

    def do(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Start(role, child):
                    # one that was told to end may take its time
                    mates = [c for c, name in self.alive.items() if name == role]
                    if any(map(self.roles.is_current, mates)):
                        assert self.roles.is_fresh(child)
                    self.alive[child] = role
                case Stop(child) | Kill(child) | Retire(child):
                    assert child in self.alive
                case End(code):
                    assert not self.alive
                    self.ends.append(code)

    def exit(self, child: int, code: int, now: float) -> None:
        del self.alive[child]
        self.do(self.roles.exited(child, code, now))

    def check(self) -> None:
        """Each place is held by one child at most."""
        current = [self.alive[c] for c in self.alive if self.roles.is_current(c)]
        assert len(current) == len(set(current))


EVENTS = st.tuples(
    st.sampled_from(
        ["exit", "exit", "tick", "tick", "stop", "ready", "renew", "serves", "fails"]
    ),
    st.integers(0, 9),
    st.sampled_from([0, 1, 2, -9]),
    st.floats(0, 20),
)


@given(st.lists(EVENTS, max_size=40))
@example(
    [
        ("exit", 0, 0, 0.0),
        ("renew", 0, 0, 0.0),
        ("fails", 3, 0, 0.0),
        ("exit", 0, 0, 0.0),
        ("exit", 0, 0, 0.0),
        ("tick", 0, 0, 5.0),
    ]
)
def test_every_life_ends_once_with_everything_ended(
    events: list[tuple[str, int, int, float]],
) -> None:
    life = Life()
    now = 0.0
    for event, which, code, later_s in events:
        now += later_s
        children = sorted(life.alive)
        child = children[which % len(children)] if children else 0
        if event == "exit" and children:
            life.exit(child, code, now)
        elif event == "tick":
            life.do(life.roles.tick(now))
        elif event == "stop":
            life.do(life.roles.stop(now))
        elif event == "ready":
            life.roles.ready()
        elif event == "renew":
            life.do(life.roles.renew(["a", "b"], now))
        elif event == "serves":
            life.do(life.roles.serves(child, now))
        elif event == "fails":
            life.do(life.roles.fails(child, now))
        life.check()
    if not life.ends:
        life.do(life.roles.stop(now))
    while life.alive:
        life.exit(min(life.alive), 0, now)
    assert len(life.ends) == 1


# ---- pauses of the one who decides -------------------------------------------------


def test_who_is_to_end_is_given_the_time_in_which_nothing_ran() -> None:
    roles = two()
    roles.renew(["a"], 1.0)
    roles.serves(4, 2.0)
    roles.woke(60.0)
    assert roles.tick(61.9 + PATIENCE_S) == []
    assert roles.tick(62.0 + PATIENCE_S) == [Kill(2)]
    roles.exited(2, KILLED, 73.0)
    roles.stop(80.0)
    roles.woke(60.0)
    assert roles.tick(139.9 + PATIENCE_S) == []
    assert roles.tick(140.0 + PATIENCE_S) == [Kill(4), Kill(3)]


def test_a_role_is_started_again_no_later_for_a_pause() -> None:
    roles = begun()
    roles.exited(BROKER, KILLED, 1.0)
    roles.woke(60.0)
    assert roles.tick(1.0 + FIRST_PAUSE_S) == [Start("broker", 4)]


# ---- a parent that has executed itself again ---------------------------------------


def adopted(*names: str) -> Roles:
    """Return roles of which some live already, with numbers from 1."""
    roles = Roles(STAGES, PATIENCE_S, {"vmhost": inf})
    for number, name in enumerate(names, 1):
        assert roles.adopt(name, 0.0) == number
    return roles


def test_what_lives_already_is_not_started() -> None:
    roles = adopted("broker", "fcgi")
    assert roles.begin(0.0) == [Start("vmhost", 3)]
    assert [roles.is_current(number) for number in (1, 2, 3)] == [True] * 3


def test_an_adopted_child_is_renewed_and_succeeded_like_any_other() -> None:
    roles = adopted(*NAMES)
    assert roles.begin(0.0) == []
    assert roles.names == list(NAMES)
    assert roles.renew(roles.names, 1.0) == [Start("broker", 4)]
    assert roles.serves(4, 2.0) == [Retire(BROKER), Start("vmhost", 5)]
    assert roles.serves(5, 3.0) == [Retire(VMHOST), Start("fcgi", 6)]
    assert roles.serves(6, 4.0) == [Retire(FCGI)]
    for child in (BROKER, VMHOST, FCGI):
        assert roles.exited(child, 0, 5.0) == []


def test_an_adopted_child_that_dies_is_started_again() -> None:
    roles = adopted(*NAMES)
    roles.begin(0.0)
    assert roles.exited(FCGI, KILLED, 1.0) == []
    assert roles.tick(1.0 + FIRST_PAUSE_S) == [Start("fcgi", 4)]


def test_a_retired_child_is_adopted_as_one_that_finishes() -> None:
    roles = adopted(*NAMES)
    old = roles.adopt_retired("fcgi", 7.0, 5.0)  # it has retired before
    late = roles.adopt_retired("fcgi", 0.0, 5.0)  # it is to retire now
    roles.begin(5.0)
    assert not roles.is_current(old)
    assert roles.tick(7.0) == [Kill(old)]
    assert roles.exited(old, KILLED, 7.1) == []
    assert roles.retires_by(late) == 5.0 + PATIENCE_S
    assert roles.tick(5.0 + PATIENCE_S) == [Kill(late)]


def test_a_supervisor_that_has_retired_takes_the_time_that_it_needs() -> None:
    roles = adopted(*NAMES)
    old = roles.adopt_retired("vmhost", 0.0, 0.0)
    assert roles.retires_by(old) == 0.0
    roles.begin(0.0)
    roles.renew(["vmhost"], 1.0)
    assert roles.serves(5, 2.0) == [Retire(VMHOST)]
    assert roles.tick(100_000.0) == []
    assert roles.exited(old, 0, 100_000.0) == []
    assert roles.stop(100_001.0) == [Stop(FCGI)]
    assert roles.exited(FCGI, 0, 100_002.0) == [Stop(5), Stop(VMHOST)]
