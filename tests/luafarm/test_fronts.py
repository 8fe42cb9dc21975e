"""How many fronts there are, and what they are called."""

import pytest

from luafarm import fronts
from luafarm.config.settings import Front


@pytest.mark.parametrize(
    ("cores", "number"),
    [(1, 1), (2, 1), (4, 1), (7, 1), (8, 2), (12, 3), (16, 4), (128, 4)],
)
def test_the_number_follows_the_processors(cores: int, number: int) -> None:
    assert fronts.default_count(cores) == number


def test_a_front_alone_has_no_number() -> None:
    assert fronts.names(Front(processes=1)) == ("fcgi",)


def test_several_fronts_are_numbered_from_one() -> None:
    assert fronts.names(Front(processes=3)) == ("fcgi-1", "fcgi-2", "fcgi-3")
