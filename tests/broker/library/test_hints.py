"""What suspects a path, and what puts off that it is looked at."""

import pytest

from broker.library.hints import ALONE, PAUSE, Hints
from broker.tables import Key
from luafarm.names import Pool

SETTLE_S = 1.0
A: Key = (Pool("p"), b"/r/a.lua")
B: Key = (Pool("p"), b"/r/b.lua")


def gathered() -> Hints:
    """Return hints of events about two scripts, ten seconds apart."""
    hints = Hints(SETTLE_S)
    hints.add([(A, False)], b"/r", b"a.lua", 0.0)
    hints.add([(B, False)], b"/r", b"b.lua", 10.0)
    return hints


def test_a_doubt_alone_has_its_path_looked_at_soon() -> None:
    hints = Hints(SETTLE_S)
    hints.doubt(A, 5.0)
    assert hints.settles_at() == pytest.approx(5.0 + SETTLE_S * ALONE)
    assert hints.take() == {A: True}


def test_doubts_of_what_is_suspected_put_nothing_off() -> None:
    hints = gathered()
    due = hints.settles_at()
    assert due == 10.0 + 10.0 * PAUSE
    for at in (11.0, 12.0, 13.0, 14.0):
        hints.doubt(A, at)
        hints.doubt(B, at)
        assert hints.settles_at() == due


def test_what_is_doubted_is_looked_at_with_all_on_the_way_to_it() -> None:
    hints = gathered()
    hints.doubt(A, 11.0)
    assert hints.take() == {A: True, B: False}


def test_a_doubt_of_another_path_belongs_to_the_batch() -> None:
    hints = Hints(SETTLE_S)
    hints.add([(A, False)], b"/r", b"a.lua", 0.0)
    hints.doubt(B, 0.2)
    assert hints.is_gathering()
    assert hints.settles_at() == pytest.approx(0.2 + SETTLE_S)
