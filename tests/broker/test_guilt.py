"""What the death of a VM host counts against the script that it ran."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker import guilt
from broker.guilt import DOUBT, MOST_CREDIT, earn, weigh
from luafarm.ends import Death

OWN = (Death.CRASH, Death.ABORT, Death.SECCOMP, Death.FAILED)
BUDGETS = (Death.WALL, Death.CPU)
DOUBTFUL = (Death.KILLED, Death.PROTOCOL)
BLAMELESS = (Death.STOPPED, Death.SILENT)


@pytest.mark.parametrize("reason", [*OWN, *BUDGETS])
def test_what_a_script_can_cause_counts_wholly_while_it_never_ran_well(
    reason: Death,
) -> None:
    assert weigh(reason, 0.0) == (1.0, 0.0)
    assert weigh(reason, 99.0) == (1.0, 99.0)


@pytest.mark.parametrize("reason", DOUBTFUL)
def test_what_somebody_else_may_have_done_counts_little(reason: Death) -> None:
    assert weigh(reason, 0.0) == (DOUBT, 0.0)
    assert DOUBT < 1.0


@pytest.mark.parametrize("reason", BLAMELESS)
def test_what_no_script_does_counts_nothing_and_costs_no_credit(reason: Death) -> None:
    assert weigh(reason, 0.0) == (0.0, 0.0)
    assert weigh(reason, 500.0) == (0.0, 500.0)


def test_ten_runs_excuse_a_doubtful_death_and_a_hundred_one_by_a_budget() -> None:
    assert weigh(Death.KILLED, 10.0) == (0.0, 0.0)
    assert weigh(Death.WALL, 100.0) == (0.0, 0.0)
    assert weigh(Death.CRASH, 999.0)[0] == 1.0
    assert weigh(Death.CRASH, 1000.0) == (0.0, 0.0)


def excused(reason: Death, credit: float) -> int:
    """Return how many deaths in a row the credit excuses."""
    number = 0
    while True:
        weight, credit = weigh(reason, credit)
        if weight:
            return number
        number += 1


def test_a_past_of_any_length_excuses_few_deaths() -> None:
    credit = earn(0.0, 10**9)
    assert excused(Death.CRASH, credit) == 1
    assert excused(Death.CPU, credit) == 10
    assert excused(Death.KILLED, credit) == 15


@given(
    st.lists(
        st.one_of(st.integers(0, 10**6), st.sampled_from([*Death])),
        max_size=60,
    )
)
def test_credit_is_earned_by_runs_alone_and_never_below_nothing(
    life: list[int | Death],
) -> None:
    credit = 0.0
    for event in life:
        if isinstance(event, Death):
            weight, left = weigh(event, credit)
            assert 0.0 <= left <= credit
            assert weight in {0.0, DOUBT, 1.0}
            # what counts costs no credit: nothing is paid for twice
            assert not weight or left == credit
            assert not (guilt.is_blameless(event) and weight)
            credit = left
        else:
            credit = earn(credit, event)
        assert 0.0 <= credit <= MOST_CREDIT
