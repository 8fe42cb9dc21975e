"""Old and new versions of a script, and who may get which."""

from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.record import Version
from tests.chaos.versions import allowed

FIRST = Version("open", "a.lua", 1, 1, begun=0.0, acknowledged=1.0)
SECOND = Version("open", "a.lua", 2, 1, begun=10.0, acknowledged=12.0)
THIRD = Version("open", "a.lua", 3, 1, begun=20.0)
FOURTH = Version("open", "a.lua", 4, 1, begun=30.0, acknowledged=31.0)
ALL = (FIRST, SECOND, THIRD, FOURTH)


def test_nobody_gets_what_is_not_there_yet() -> None:
    assert allowed(ALL, 5.0, 9.0) == [FIRST]


def test_either_may_come_while_a_deploy_is_under_way() -> None:
    assert allowed(ALL, 5.0, 10.5) == [FIRST, SECOND]
    assert allowed(ALL, 11.0, 13.0) == [FIRST, SECOND]


def test_a_request_that_is_sent_after_the_acknowledgement_gets_nothing_older() -> None:
    assert allowed(ALL, 12.0, 13.0) == [SECOND]


def test_a_deploy_that_nobody_acknowledged_may_be_seen_or_not_until_the_next_is() -> (
    None
):
    assert allowed(ALL, 25.0, 26.0) == [SECOND, THIRD]
    assert allowed(ALL, 25.0, 30.0) == [SECOND, THIRD, FOURTH]
    assert allowed(ALL, 31.0, 32.0) == [FOURTH]


@given(st.data())
def test_there_is_always_something_that_may_be_served(data: st.DataObject) -> None:
    sent = data.draw(st.floats(min_value=1.0, max_value=40.0))
    ended = sent + data.draw(st.floats(min_value=0.0, max_value=40.0))
    found = allowed(ALL, sent, ended)
    assert found
    assert list(ALL[ALL.index(found[0]) :][: len(found)]) == found
