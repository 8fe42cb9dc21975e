"""What clones may cost, and how many a queue calls for."""

import pytest

from broker.cloning import CloneAllowance, wanted


def test_the_budget_allows_a_burst_and_then_its_share() -> None:
    budget = CloneAllowance(0.03)
    burst = sum(budget.allows(0.01, 8, 0.0) for _ in range(1000))
    assert burst == pytest.approx(0.03 * 8 * 8.0 / 0.01, abs=1)
    rest = sum(budget.allows(0.01, 8, 1.0 + i / 100) for i in range(1000))
    assert rest == pytest.approx(0.03 * 8 * 11.0 / 0.01, rel=0.05)


def test_a_load_dearer_than_the_whole_budget_is_allowed_when_it_is_full() -> None:
    budget = CloneAllowance(0.03)
    assert budget.allows(100.0, 1, 0.0)
    assert not budget.allows(0.001, 1, 0.0)
    assert not budget.allows(100.0, 1, 1.0)
    assert budget.allows(100.0, 1, 20.0)


def test_without_a_share_there_are_no_clones() -> None:
    assert not CloneAllowance(0.0).allows(0.001, 8, 0.0)


def test_a_free_load_still_costs_something() -> None:
    budget = CloneAllowance(0.03)
    assert sum(budget.allows(0.0, 2, 0.0) for _ in range(10_000)) < 1000


@pytest.mark.parametrize(
    ("queued", "service_s", "load_s", "states", "clones"),
    [
        (1, 0.0, 0.001, 1, 1),
        (10, 0.001, 0.002, 1, 1),
        (100, 0.001, 0.002, 4, 4),
        (100, 0.001, 0.02, 3, 2),
        (5, 0.5, 0.001, 2, 2),
    ],
)
def test_the_queue_calls_for_so_many(
    queued: int, service_s: float, load_s: float, states: int, clones: int
) -> None:
    assert wanted(queued, service_s, load_s, states) == clones
