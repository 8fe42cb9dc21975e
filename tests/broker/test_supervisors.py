"""Which supervisor speaks for a machine."""

from hypothesis import given
from hypothesis import strategies as st

from broker.supervisors import Speaker, Supervisors
from luafarm.names import Machine

A = Machine("a")
FIRST, SECOND = Speaker(1, "key"), Speaker(2, "key")
SILENCE_S = 5.0


def held() -> Supervisors:
    """Return a table in which FIRST speaks for A, heard last at 100."""
    supervisors = Supervisors(SILENCE_S)
    assert not supervisors.rivals(A, FIRST, 100.0)
    assert not supervisors.take(A, FIRST, b"first", 100.0)
    return supervisors


def test_the_first_keeps_the_name_while_it_is_heard() -> None:
    supervisors = held()
    for second in range(1, 100):
        now = 100.0 + second
        assert supervisors.hears(A, FIRST, b"first", now)
        assert supervisors.rivals(A, SECOND, now + 4.9) == [b"first"]


def test_the_name_is_free_when_its_holder_was_silent_for_too_long() -> None:
    supervisors = held()
    assert not supervisors.rivals(A, SECOND, 105.1)
    assert supervisors.take(A, SECOND, b"second", 105.1)
    assert supervisors.peers(A) == [b"second"]


def test_who_lost_the_name_is_not_heard_any_more() -> None:
    supervisors = held()
    supervisors.take(A, SECOND, b"second", 106.0)
    assert not supervisors.hears(A, FIRST, b"first", 106.1)
    assert supervisors.rivals(A, FIRST, 106.1) == [b"second"]


def test_the_same_process_may_come_back_over_another_connection() -> None:
    supervisors = held()
    assert not supervisors.rivals(A, FIRST, 101.0)
    assert not supervisors.take(A, FIRST, b"again", 101.0)
    assert supervisors.peers(A) == [b"again"]
    assert supervisors.hears(A, FIRST, b"first", 101.0)  # what was on its way


def test_the_same_number_with_another_key_is_another_process() -> None:
    other = Speaker(FIRST.incarnation, "other")
    assert held().rivals(A, other, 101.0) == [b"first"]


def test_nobody_is_silent_who_could_not_be_heard() -> None:
    supervisors = held()
    supervisors.forget_silent(200.0, fresh=200.0)
    assert supervisors.rivals(A, SECOND, 204.9) == [b"first"]
    supervisors.forget_silent(205.1)
    assert not supervisors.rivals(A, SECOND, 205.1)


def test_who_was_silent_speaks_again_if_nobody_took_the_name() -> None:
    supervisors = held()
    supervisors.forget_silent(106.0)
    assert not supervisors.peers(A)
    assert supervisors.hears(A, FIRST, b"first", 106.0)
    assert supervisors.peers(A) == [b"first"]


SUCCESSOR = Speaker(3, "key", beside=(FIRST.incarnation,))


def test_one_that_was_started_beside_another_speaks_as_well() -> None:
    supervisors = held()
    assert not supervisors.rivals(A, SUCCESSOR, 101.0)
    assert not supervisors.take(A, SUCCESSOR, b"third", 101.0)
    assert supervisors.peers(A) == [b"first", b"third"]
    assert supervisors.incarnations(A) == (1, 3)
    assert supervisors.hears(A, FIRST, b"first", 102.0)
    assert supervisors.hears(A, SUCCESSOR, b"third", 102.0)
    assert supervisors.rivals(A, SECOND, 103.0) == [b"first", b"third"]


def test_which_of_the_two_a_new_broker_hears_first_does_not_matter() -> None:
    supervisors = Supervisors(SILENCE_S)
    supervisors.take(A, SUCCESSOR, b"third", 100.0)
    assert not supervisors.rivals(A, FIRST, 100.0)
    assert not supervisors.take(A, FIRST, b"first", 100.0)
    assert supervisors.incarnations(A) == (3, 1)


def test_nobody_is_beside_another_by_a_key_of_its_own() -> None:
    stranger = Speaker(3, "other", beside=(FIRST.incarnation,))
    assert held().rivals(A, stranger, 101.0) == [b"first"]


def test_three_that_were_started_one_after_the_other_speak_side_by_side() -> None:
    supervisors = held()
    fourth = Speaker(4, "key", beside=(1, 3))
    for speaker, peer in ((SUCCESSOR, b"third"), (fourth, b"fourth")):
        assert not supervisors.rivals(A, speaker, 101.0)
        assert not supervisors.take(A, speaker, peer, 101.0)
    assert supervisors.incarnations(A) == (1, 3, 4)


def test_the_silent_one_of_two_is_forgotten_alone_and_may_live() -> None:
    supervisors = held()
    supervisors.take(A, SUCCESSOR, b"third", 104.0)
    supervisors.forget_silent(106.0)
    assert supervisors.peers(A) == [b"third"]
    assert supervisors.incarnations(A) == (3, 1)


def test_who_takes_the_name_after_two_replaces_both() -> None:
    supervisors = held()
    supervisors.take(A, SUCCESSOR, b"third", 101.0)
    assert not supervisors.rivals(A, SECOND, 110.0)
    assert supervisors.take(A, SECOND, b"second", 110.0)
    assert supervisors.incarnations(A) == (2,)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["hello", "word", "tick"]),
            st.integers(1, 3),
            st.floats(0.0, 4.0),
        )
    )
)
def test_one_process_at_a_time_speaks_for_a_machine(
    steps: list[tuple[str, int, float]],
) -> None:
    supervisors = Supervisors(SILENCE_S)
    now, speaking, heard_at = 0.0, 0, 0.0
    for what, number, pause_s in steps:
        now += pause_s
        is_free = speaking in (0, number) or now - heard_at > SILENCE_S
        speaker, peer = Speaker(number, ""), b"%d" % number
        if what == "hello":
            rivals = supervisors.rivals(A, speaker, now)
            assert (not rivals) == is_free
            if not rivals:
                supervisors.take(A, speaker, peer, now)
                speaking, heard_at = number, now
        elif what == "word":
            if supervisors.hears(A, speaker, peer, now):
                assert speaking in (0, number)
                speaking, heard_at = number, now
            else:
                assert speaking not in (0, number)
        else:
            supervisors.forget_silent(now)
            if now - heard_at > SILENCE_S:
                speaking = 0
