"""Load that comes and goes must not make states come and go with it."""

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from luafarm.names import HostId
from tests.broker.paper import Paper, script, settings

A, B = script("a"), script("b")
HOSTS = [f"h{n}" for n in range(8)]
LOAD_S = 0.002  # what the hosts on paper report

waves = st.lists(
    st.tuples(
        st.sampled_from([A, B]),
        st.sampled_from([0.1, 0.5, 2.0, 20.0, 90.0]),  # pause before it, seconds
        st.integers(1, 300),  # requests that wait
    ),
    min_size=10,
    max_size=40,
)


def farm(states: int) -> Paper:
    paper = Paper(settings(states=states))
    paper.checks = False
    for path in (A, B):
        paper.write(path)
    paper.join(*HOSTS)
    for path in (A, B):
        paper.ask(path)
    return paper


def wave(paper: Paper, path: bytes, queued: int) -> None:
    """Let requests wait for a script, be served where it is, and be reported."""
    name = script("a") if path == A else script("b")
    for waited_s in (0.002, 0.004, 0.008):
        paper.press(name, *HOSTS, waited_s=waited_s, queued=queued)
        paper.run()
    hosts = paper.places[name].hosts
    for host in hosts:
        share = max(1, queued // len(hosts))
        paper.use(name, HostId(host), share, busy_us=500 * share)


@given(waves)
@hypothesis_settings(max_examples=20)
def test_with_room_a_clone_is_loaded_once_however_load_comes_and_goes(
    moves: list[tuple[bytes, float, int]],
) -> None:
    paper = farm(states=100)
    for path, pause_s, queued in moves:
        paper.tick(pause_s)
        wave(paper, path, queued)
    assert paper.count("evictions") == 0
    assert paper.count("loads") <= 2 * len(HOSTS)
    assert paper.count("loads") == len(paper.broker.farm.records) + paper.count(
        "clones"
    )


@given(waves)
@hypothesis_settings(max_examples=20)
def test_without_room_scripts_do_not_take_states_from_each_other_for_ever(
    moves: list[tuple[bytes, float, int]],
) -> None:
    paper = farm(states=4)
    before = paper.now
    for path, pause_s, queued in moves:
        paper.tick(pause_s)
        wave(paper, path, queued)
    paper.broker.check()
    spent_s = paper.count("clones") * LOAD_S
    cores = len(HOSTS) / 2
    assert spent_s <= 0.03 * cores * (paper.now - before) + 0.25
    # a script that is asked for keeps what it needs: waves do not swap all states
    assert paper.count("evictions") <= len(moves)


def test_two_scripts_of_equal_waves_settle() -> None:
    paper = farm(states=4)
    for _ in range(100):
        for path in (A, B):
            paper.tick(1.0)
            wave(paper, path, 20)
    evictions = paper.count("evictions")
    for _ in range(100):
        for path in (A, B):
            paper.tick(1.0)
            wave(paper, path, 20)
    assert paper.count("evictions") - evictions <= 4
