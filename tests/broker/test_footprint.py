"""What scripts ask for: followed within limits, and honest about what is not."""

import json
from typing import Any

import pytest

from broker import actions as act
from broker import events as ev
from broker.costs import path_bytes, question_bytes
from broker.footprint import SCRIPT_SHARE
from broker.status import status
from broker.tables import Generation
from luafarm.config.settings import PoolSettings
from luafarm.names import Epoch, HostId, Pool, Script
from luafarm.wire.messages import Dependency, NeedKind, Verdict
from tests.broker.paper import POOL, Paper, script, settings

A, B = script("a"), script("b")
LIMIT = 1 << 20
SHARE = LIMIT // SCRIPT_SHARE


def absent(number: int, of: str = "") -> tuple[bytes, ...]:
    return tuple(b"%s%06d" % (of.encode(), i) for i in range(number))


def cost(name: bytes) -> int:
    """Return what it takes that a script at the top of the root lacks a module."""
    paths = [b"/r/%s.lua" % name, b"/r/%s/init.lua" % name]
    asked = Dependency(NeedKind.MODULE, name, b"", b"")
    return question_bytes(asked, 2) + sum([path_bytes(path) for path in paths])


def farm(**broker: Any) -> Paper:
    paper = Paper(settings(**{"file_memory": LIMIT, **broker}))
    paper.join("h1")
    return paper


def load(paper: Paper, path: Script, requires: tuple[bytes, ...]) -> None:
    paper.requires[path] = requires
    paper.write(path)
    assert paper.ask(path).verdict == Verdict.READY


def row(paper: Paper, path: Script) -> dict[str, Any]:
    rows = json.loads(status(paper.broker, {}, {}, paper.now))["scripts"]
    [found] = [one for one in rows if one["script"] == path.decode()]
    return dict(found)


def warnings(paper: Paper) -> list[str]:
    return [
        order.text
        for order in paper.orders
        if isinstance(order, act.Log) and "too many files" in order.text
    ]


# ---- limits --------------------------------------------------------------------------


def test_a_script_has_so_many_files_followed_as_its_share_holds_and_is_served() -> None:
    paper = farm()
    fit = SHARE // cost(b"000000")
    load(paper, A, absent(fit + 7))
    assert row(paper, A)["unfollowed"] == 7
    followed = {path for _, path in paper.watched}
    names = absent(fit)
    assert followed == {A} | {b"/r/%s.lua" % n for n in names} | {
        b"/r/%s/init.lua" % n for n in names
    }
    spent = paper.broker.farm.files.bytes_of(POOL) - path_bytes(A)
    assert spent == fit * cost(b"000000") <= SHARE


def test_with_room_for_all_nothing_is_left_out_or_said() -> None:
    paper = farm()
    load(paper, A, absent(SHARE // cost(b"000000")))
    assert row(paper, A)["unfollowed"] == 0
    assert warnings(paper) == []


def test_long_names_count_by_their_bytes() -> None:
    paper = farm()
    load(paper, A, tuple(b"%03d" % i + b"x" * 900 for i in range(60)))
    assert 0 < len(paper.watched) < 40
    assert paper.broker.farm.files.bytes_of(POOL) <= SHARE + path_bytes(A)


def test_a_pool_has_its_limit_however_many_scripts_it_has() -> None:
    paper = farm(states=100)
    for i in range(2 * SCRIPT_SHARE):
        load(paper, script(f"s{i}"), absent(40, f"s{i}-"))
    spent = paper.broker.farm.files.bytes_of(POOL)
    own = 2 * SCRIPT_SHARE * path_bytes(script("s10"))
    assert LIMIT <= spent <= LIMIT + SHARE + own
    last = row(paper, script(f"s{2 * SCRIPT_SHARE - 1}"))
    assert (last["verdict"], last["files"], last["unfollowed"]) == ("ready", 1, 40)


def test_files_that_all_scripts_share_are_paid_for_once() -> None:
    paper = farm(states=100)
    names = absent(10)
    load(paper, A, names)
    first = paper.broker.farm.files.bytes_of(POOL)
    load(paper, B, names)
    second = paper.broker.farm.files.bytes_of(POOL) - first
    asked = Dependency(NeedKind.MODULE, names[0], b"", b"")
    assert second == path_bytes(B) + 10 * question_bytes(asked, 2)


def test_another_pools_room_is_its_own() -> None:
    config = settings(file_memory=LIMIT, states=100)
    config.pool["q"] = PoolSettings(root=("/q",))
    paper = Paper(config)
    paper.join("h1")
    for i in range(SCRIPT_SHARE + 2):
        load(paper, script(f"s{i}"), absent(40, f"s{i}-"))
    assert paper.broker.farm.files.bytes_of(POOL) >= LIMIT
    tables = paper.broker.farm
    other = tables.record(Pool("q"), Script(b"/q/x.lua"))
    generation = Generation(Epoch(1), b"digest")
    asked = Dependency(NeedKind.MODULE, b"000000", b"", b"")
    assert len(tables.footprint.depend(other, generation, [asked])) == 2
    assert generation.unfollowed == 0


def test_what_can_be_no_file_is_not_remembered() -> None:
    paper = farm()
    load(paper, A, (b"/" + b"x" * 100, b"n" * 2000, b"a..b"))
    assert set(paper.watched) == {(POOL, A)}
    assert paper.broker.farm.files.bytes_of(POOL) == path_bytes(A)
    assert row(paper, A)["unfollowed"] == 0


def test_a_deleted_script_gives_all_its_room_back() -> None:
    paper = farm()
    load(paper, A, absent(60))
    del paper.files[A]
    paper.settle()
    paper.run()
    assert paper.broker.farm.files.bytes_of(POOL) == 0
    assert paper.watched == {}


def test_a_new_generation_has_the_room_of_the_old_one() -> None:
    paper = farm()
    fit = SHARE // cost(b"000000")
    load(paper, A, absent(fit))
    spent = paper.broker.farm.files.bytes_of(POOL)
    for i in range(5):
        paper.requires[A] = tuple(b"%d%05d" % (i + 1, n) for n in range(fit))
        paper.write(A)
        paper.settle()
        paper.run()
        assert row(paper, A)["unfollowed"] == 0
        assert paper.broker.farm.files.bytes_of(POOL) == spent


def test_a_broker_that_takes_over_follows_no_more() -> None:
    paper = farm()
    load(paper, A, absent(100))
    before, unfollowed = set(paper.watched), row(paper, A)["unfollowed"]
    paper.restart(8, settles=True)
    assert set(paper.watched) == before
    assert row(paper, A)["unfollowed"] == unfollowed > 0


# ---- what is said --------------------------------------------------------------------


def test_it_is_said_once_with_script_numbers_and_limits() -> None:
    paper = farm()
    load(paper, A, absent(100))
    [line] = warnings(paper)
    left_out = row(paper, A)["unfollowed"]
    assert f"script={A.decode()}" in line
    assert f"changes of {left_out} of them" in line
    assert f"limit={SHARE}" in line
    assert f"limit={LIMIT}" in line
    for _ in range(5):
        paper.write(A)
        paper.settle()
        paper.run()
    assert len(warnings(paper)) == 1


# ---- changes -------------------------------------------------------------------------


def test_a_change_of_what_is_followed_is_noticed_as_ever() -> None:
    paper = farm()
    load(paper, A, absent(100))
    epoch = paper.places[A].epoch
    paper.write(b"/r/000003.lua")
    paper.settle()
    paper.run()
    assert paper.places[A].epoch > epoch


@pytest.mark.parametrize("scope", [b"", b"/r", b"/r/000099.lua", b"/"])
def test_a_reload_loads_a_script_anew_of_which_not_all_is_followed(
    scope: bytes,
) -> None:
    paper = farm()
    load(paper, A, absent(100))
    load(paper, B, absent(3))
    epochs = (paper.places[A].epoch, paper.places[B].epoch)
    digest = paper.write(b"/r/000099.lua")
    paper.settle()
    paper.run()
    assert (paper.places[A].epoch, paper.places[B].epoch) == epochs
    paper.play(ev.Changed((), b"ticket", scope))
    assert b"ticket" not in paper.answers
    paper.run()
    assert paper.answers[b"ticket"].ok
    assert paper.places[A].epoch > epochs[0]
    assert paper.places[B].epoch == epochs[1]
    held = paper.hosts[HostId("h1")].states[A]
    assert digest in held.used.values()


def test_a_reload_of_what_the_pool_cannot_read_touches_nothing() -> None:
    paper = farm()
    load(paper, A, absent(100))
    epoch = paper.places[A].epoch
    paper.play(ev.Changed((), b"ticket", b"/elsewhere"))
    paper.run()
    assert paper.places[A].epoch == epoch
    assert b"ticket" in paper.answers
