"""Words for how things end, as messages, logs and status have them."""

import pytest

from luafarm import ends
from luafarm.ends import EXHAUSTING, TIME, Budget, Closing, Death


@pytest.mark.parametrize("budget", Budget)
def test_a_death_and_a_closing_tell_the_budget_of_their_name(budget: Budget) -> None:
    words = {str(word): word.budget for word in (*Death, *Closing)}
    assert words.get(budget, budget) is budget


def test_what_is_no_budget_tells_none() -> None:
    for word in (Death.CRASH, Death.PROTOCOL, Closing.DROPPED, Closing.BROKEN):
        assert word.budget is Budget.NONE
        assert not word.budget
    assert Budget.NONE not in TIME | EXHAUSTING


@pytest.mark.parametrize("word", [b"", b"cpu", b"memory"])
def test_a_lua_state_names_its_budget(word: bytes) -> None:
    assert ends.budget(word) == word.decode()


@pytest.mark.parametrize("word", [b"cpu2", b"\xff", b"dropped"])
def test_a_word_that_is_no_budget_is_none(word: bytes) -> None:
    assert ends.budget(word) is Budget.NONE


def test_a_state_that_closes_for_an_unknown_word_is_broken() -> None:
    assert ends.closing("memory") is Closing.MEMORY
    assert ends.closing("boredom") is Closing.BROKEN
