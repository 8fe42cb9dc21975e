"""Runs as the ledger has them."""

import pytest

from tests.chaos.ledger import executions
from tests.chaos.record import Execution


def test_each_beginning_is_a_run_and_tells_whether_it_ended() -> None:
    text = "begin a s.1 POST\nbegin b t.1 GET\nend b t.1 GET\nbegin a s.2 POST\n"
    assert executions(text) == (
        Execution("a", "s.1", "POST", has_ended=False),
        Execution("b", "t.1", "GET", has_ended=True),
        Execution("a", "s.2", "POST", has_ended=False),
    )


@pytest.mark.parametrize(
    "text", ["end a s.1 GET\n", "begin a s.1 GET\n" * 2, "bygin a s.1 GET\n"]
)
def test_what_cannot_be_is_not_taken_for_a_ledger(text: str) -> None:
    with pytest.raises(AssertionError):
        executions(text)
