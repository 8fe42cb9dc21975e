"""Which uids VM hosts get."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luafarm.config.settings import Settings, Vmhost
from luafarm.errors import SettingsError
from vmhost.supervisor import uids

RUN = b"/run"


def settings(first: int, last: int) -> Settings:
    return Settings(vmhost=Vmhost(uid_range=f"{first}-{last}"))


def test_uids_are_those_of_the_range() -> None:
    assert uids.choose(settings(7000, 7009), 10, RUN) == tuple(range(7000, 7010))


def test_too_few_uids_are_refused() -> None:
    with pytest.raises(SettingsError, match="9 uids for 10 VM hosts"):
        uids.choose(settings(7000, 7008), 10, RUN)


@given(st.binary(), st.integers(1, 4336))
def test_without_a_range_uids_are_among_those_for_dynamic_users(
    run: bytes, seats: int
) -> None:
    found = uids.choose(Settings(), seats, run)
    assert len(set(found)) == seats
    assert set(found) <= set(range(61184, 65520))


LIVES = st.lists(st.tuples(st.integers(1, 50), st.booleans()), max_size=10)
"""The seats of one supervisor after the other, and whether the first one ends then."""


@given(st.binary(), LIVES, st.booleans())
def test_a_supervisor_has_uids_of_its_own_however_many_live_and_whatever_their_size(
    run: bytes, lives: list[tuple[int, bool]], has_range: bool
) -> None:
    most = sum(seats for seats, _ in lives)
    wanted = settings(7000, 6999 + most) if has_range else Settings()
    living: list[tuple[int, ...]] = []
    for seats, is_end in lives:
        if living and is_end:
            living.pop(0)
        taken = uids.parse(",".join(map(uids.told, living)))
        found = uids.choose(wanted, seats, run, taken)
        assert not set(found) & {uid for others in living for uid in others}
        assert len(set(found)) == seats
        living.append(found)


def test_no_more_are_shared_than_there_are_too_few() -> None:
    taken = (range(7000, 7004),)
    found = uids.choose(settings(7000, 7009), 8, RUN, taken)
    assert found == (*range(7004, 7010), 7000, 7001)


def test_a_range_that_has_become_another_is_free_where_the_old_one_is_not() -> None:
    taken = (range(6990, 7003),)
    found = uids.choose(settings(7000, 7009), 4, RUN, taken)
    assert found == (7003, 7004, 7005, 7006)


def test_farms_of_one_machine_begin_at_different_uids_and_keep_them() -> None:
    runs = [b"/run/luafarm", b"/tmp/luafarm-a", b"/tmp/luafarm-b"]
    first = [uids.choose(Settings(), 4, run) for run in runs]
    assert len({uid for found in first for uid in found}) == 12
    assert first == [uids.choose(Settings(), 4, run) for run in runs]


@given(st.sets(st.integers(0, 40)))
def test_what_is_said_of_uids_is_understood(found: set[int]) -> None:
    said = uids.told(tuple(found))
    assert {uid for part in uids.parse(said) for uid in part} == found


def test_neighbours_are_one_range() -> None:
    assert uids.told((5, 3, 4, 9)) == "3:5,9:9"
