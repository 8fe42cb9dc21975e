"""Remembered 404s: what waits for what, and how much of it."""

from hypothesis import given
from hypothesis import strategies as st

from broker import actions as act
from broker.actions import Action
from broker.events import Barrier
from broker.missing import MOST_DIRECTORIES, Missing


def remember(
    missing: Missing, asked: bytes, barrier: bytes, out: list[Action] | None = None
) -> list[bytes]:
    return missing.remember(asked, Barrier(barrier, b""), [] if out is None else out)


def test_paths_behind_one_barrier_wait_for_it_together() -> None:
    missing = Missing(10)
    out: list[Action] = []
    assert remember(missing, b"/r/d/x.lua", b"/r/d", out) == []
    assert remember(missing, b"/r/d/y.lua", b"/r/d", out) == []
    assert out == [act.WatchBarrier(b"/r/d", b"")]
    out.clear()
    assert missing.passed(b"/r/d", out) == [b"/r/d/x.lua", b"/r/d/y.lua"]
    assert out == [act.UnwatchBarrier(b"/r/d")]
    assert len(missing) == 0
    missing.check()


def test_a_path_that_is_asked_again_waits_for_what_is_in_its_way_now() -> None:
    missing = Missing(10)
    out: list[Action] = []
    remember(missing, b"/r/d/x.lua", b"/r/d", out)
    remember(missing, b"/r/d/x.lua", b"/r/d", out)
    remember(missing, b"/r/d/x.lua", b"/r/d/x.lua", out)
    assert out == [
        act.WatchBarrier(b"/r/d", b""),
        act.UnwatchBarrier(b"/r/d"),
        act.WatchBarrier(b"/r/d/x.lua", b""),
    ]
    assert missing.passed(b"/r/d", out) == []
    missing.check()


def test_what_no_file_can_change_is_not_remembered_here() -> None:
    missing = Missing(10)
    out: list[Action] = []
    assert missing.remember(b"/else/x.lua", None, out) == []
    assert (len(missing), out) == (0, [])


def test_with_no_room_at_all_fronts_ask_each_time() -> None:
    missing = Missing(0)
    assert remember(missing, b"/r/x.lua", b"/r/x.lua") == [b"/r/x.lua"]
    assert len(missing) == 0


def test_the_oldest_goes_when_the_bytes_are_used_up() -> None:
    missing = Missing(1000, most_bytes=40_000)
    paths = [b"/r/%03d/" % i + b"x" * 3000 + b".lua" for i in range(100)]
    forgotten: list[bytes] = []
    for path in paths:
        forgotten += remember(missing, path, path[:6])
        missing.check()
    assert 5 < len(missing) < 15
    assert forgotten == paths[: 100 - len(missing)]


def test_a_path_longer_than_all_room_is_not_kept() -> None:
    missing = Missing(10, most_bytes=1000)
    path = b"/r/" + b"x" * 3000
    assert remember(missing, path, b"/r/x") == [path]
    missing.check()


def test_the_directories_to_watch_are_bounded() -> None:
    missing = Missing(100_000, most_bytes=1 << 30)
    out: list[Action] = []
    for i in range(MOST_DIRECTORIES + 10):
        for name in (b"x.lua", b"y.lua"):
            remember(missing, b"/r/%d/" % i + name, b"/r/%d/" % i + name, out)
    assert len(missing) == 2 * MOST_DIRECTORIES
    assert out.count(act.UnwatchBarrier(b"/r/0/x.lua")) == 1
    missing.check()


@given(
    st.lists(
        st.tuples(st.sampled_from("rfp"), st.binary(max_size=3), st.integers(0, 4))
    )
)
def test_whatever_comes_the_watches_are_those_of_what_is_remembered(
    steps: list[tuple[str, bytes, int]],
) -> None:
    missing = Missing(4, most_bytes=3500)
    watched: dict[bytes, bytes] = {}
    for kind, asked, number in steps:
        out: list[Action] = []
        barrier = b"/r/%d/x" % number
        match kind:
            case "r":
                remember(missing, asked, barrier, out)
            case "f":
                missing.forget(asked, out)
            case _:
                missing.passed(barrier, out)
        for action in out:
            if isinstance(action, act.WatchBarrier):
                assert action.path not in watched
                watched[action.path] = action.seen
            else:
                assert isinstance(action, act.UnwatchBarrier)
                del watched[action.path]
        missing.check()
        assert bool(watched) == bool(len(missing))
