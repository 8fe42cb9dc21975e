"""What is always true of the seats. Tests ask after every step."""

from collections.abc import Sequence

from vmhost.supervisor.seat import Phase, Seat


def check(seats: Sequence[Seat]) -> None:
    """Raise AssertionError if the seats contradict themselves."""
    hosts = [s.host for s in seats if s.phase is not Phase.EMPTY]
    assert all(hosts), "a host without an id"
    assert len(set(hosts)) == len(hosts), "an id in two seats"
    for seat in seats:
        assert (seat.phase is Phase.EMPTY) == (not seat.host), seat.number
        if seat.phase in {Phase.SERVING, Phase.LEAVING}:
            assert seat.ready_at is not None, f"{seat.host} was never announced"
        if seat.phase is Phase.DYING:
            assert seat.killed_for is not None, f"{seat.host} dies for no reason"
