"""Fences that are owed, and tickets that wait for them."""

from hypothesis import given
from hypothesis import strategies as st

from broker.fences import Fences
from broker.tickets import Tickets
from luafarm.names import Epoch, HostId, Script

HOSTS = [HostId(f"h{n}") for n in range(3)]
SCRIPTS = [Script(b"/r/%d.lua" % n) for n in range(3)]

moves = st.lists(
    st.tuples(
        st.sampled_from(["order", "confirm", "lose"]),
        st.sampled_from(HOSTS),
        st.sampled_from(SCRIPTS),
        st.integers(1, 3),
    ),
    max_size=40,
)


@given(moves)
def test_a_script_is_confirmed_when_no_host_owes_its_newest_fence(
    played: list[tuple[str, HostId, Script, int]],
) -> None:
    fences = Fences()
    owed: dict[tuple[HostId, Script], int] = {}
    for move, host, script, number in played:
        if move == "order":
            fences.ordered(host, script, Epoch(number), 0.0)
            owed[host, script] = number
        elif move == "confirm":
            was_owed = owed.get((host, script), number + 1) <= number
            if was_owed:
                del owed[host, script]
            is_last = was_owed and script not in {s for _, s in owed}
            assert fences.confirm(host, script, Epoch(number)) == is_last
        else:
            mine = {s for h, s in owed if h == host}
            owed = {key: epoch for key, epoch in owed.items() if key[0] != host}
            left = {s for _, s in owed}
            assert set(fences.lost(host)) == mine - left
        unconfirmed = {s for _, s in owed}
        assert set(fences.unconfirmed()) == unconfirmed
        for one in SCRIPTS:
            assert fences.is_confirmed(one) == (one not in unconfirmed)
        for name in HOSTS:
            assert {s for s, _ in fences.of(name)} == {s for h, s in owed if h == name}
        assert {host for host, _, _ in fences.oldest()} == {host for host, _ in owed}


def test_a_ticket_is_due_once_when_its_last_script_is_settled() -> None:
    tickets = Tickets()
    first, second, _ = SCRIPTS
    tickets.add(b"one", [first])
    tickets.add(b"both", [first, second])
    tickets.add(b"none", [])
    assert tickets.settle(first, "") == [(b"one", b"", "")]
    assert not tickets.has(first)
    assert tickets.settle(second, "why") == [(b"both", second, "why")]
    assert tickets.settle(second, "") == []


def test_a_ticket_tells_the_first_script_that_failed() -> None:
    tickets = Tickets()
    tickets.add(b"all", SCRIPTS)
    due = [
        tickets.settle(script, error)
        for script, error in zip(SCRIPTS, ("", "first", "second"), strict=True)
    ]
    assert due == [[], [], [(b"all", SCRIPTS[1], "first")]]
