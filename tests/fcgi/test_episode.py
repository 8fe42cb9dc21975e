"""Episodes: said once each time they begin."""

from fcgi.episode import CALM_S, Episode

START = 1000.0


def test_the_first_of_many_is_said_and_no_other() -> None:
    episode = Episode()
    assert not episode.begins(0, START)
    assert episode.begins(3, START + 1)
    assert not any(episode.begins(3 + n, START + 1 + n) for n in range(1, 100))


def test_after_a_calm_it_is_said_again() -> None:
    episode = Episode()
    assert episode.begins(1, START)
    assert not episode.begins(1, START + CALM_S)
    assert episode.begins(2, START + CALM_S + 1)


def test_a_pause_that_is_shorter_than_a_calm_ends_nothing() -> None:
    episode = Episode()
    assert episode.begins(1, START)
    assert not episode.begins(2, START + 0.9 * CALM_S)
    assert not episode.begins(3, START + 1.8 * CALM_S)
    assert episode.begins(4, START + 2.8 * CALM_S)
