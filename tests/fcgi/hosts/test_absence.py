"""A broker that is away."""

from fcgi.hosts.absence import LATE_S, Absence


def test_a_broker_that_is_back_soon_is_not_missed() -> None:
    absence = Absence()
    absence.begins(100.0)
    assert not absence.is_late(100.0 + LATE_S)
    absence.ends()
    assert not absence.is_late(200.0)


def test_one_that_stays_away_is_missed_once_each_time() -> None:
    absence = Absence()
    for begin in (100.0, 200.0):
        absence.begins(begin)
        late = [absence.is_late(begin + seconds) for seconds in range(60)]
        assert late.count(True) == 1


def test_one_that_never_came_is_not_missed() -> None:
    assert not Absence().is_late(100.0)
