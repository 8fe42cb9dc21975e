"""A broker that is out of descriptors: nothing is remembered of what it cannot read."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from broker import actions as act
from broker import events as ev
from broker.library.roots import Roots
from broker.library.sources import Sources, digest_of
from broker.library.tree import MOST_UNFINISHED
from broker.resolve import PoolPaths
from luafarm.ends import Budget, Closing
from luafarm.wire.messages import (
    Load,
    LoadFailed,
    Miss,
    Need,
    NeedKind,
    Place,
    Reload,
    Reloaded,
    Role,
    ScriptError,
    Source,
    Verdict,
)
from tests.broker.library.tree import POOL, Tree, of
from tests.broker.paper import Paper, script
from tests.broker.peers.played import Bench


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Let this process open nothing more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open("/dev/null", os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# ---- files ---------------------------------------------------------------------------


def test_nothing_is_concluded_of_a_file_that_cannot_be_opened(tree: Tree) -> None:
    with no_descriptors():
        now = tree.sources.look(POOL, tree.path("a.lua"))
        assert not now.is_known
        assert now.error == "too many open files"
        found, _ = tree.sources.find(tree.path("a.lua"))
        assert found is not None
        assert not found.is_whole
        assert not found.error
        name = b"a"
        kind = NeedKind.MODULE
        assert tree.sources.answer(POOL, tree.path("a.lua"), kind, name) is None
    now = tree.sources.look(POOL, tree.path("a.lua"))
    assert (now.is_known, now.error, now.digest) == (True, "", digest_of(b"one"))


def test_a_file_that_was_seen_is_still_known(tree: Tree) -> None:
    before = tree.sources.look(POOL, tree.path("a.lua"))
    with no_descriptors():
        assert tree.sources.look(POOL, tree.path("a.lua")) == before


def test_a_change_that_cannot_be_read_is_found_afterwards(tree: Tree) -> None:
    tree.follow("a.lua")
    tree.write("a.lua", "two")
    with no_descriptors():
        assert tree.changes() == {}
        unread = tree.watcher.check(b"", tree.now).unread
        assert [file.path for file in unread] == [tree.path("a.lua")]
    assert tree.settled() == {"a.lua": of("two")}


def test_a_root_that_is_a_link_is_where_it_was(tmp_path: Path) -> None:
    release = tmp_path / "release"
    release.mkdir()
    (release / "a.lua").write_text("one")
    link = tmp_path / "current"
    link.symlink_to(release)
    paths = PoolPaths(POOL, (os.fsencode(link),), ())
    sources = Sources({POOL: paths}, 1 << 20)
    roots = Roots([paths])
    assert roots.refresh()
    with no_descriptors():
        assert not roots.refresh()
        found, _ = sources.find(os.fsencode(link / "a.lua"))
        assert found is not None
        assert not found.is_whole
    assert roots.named(os.fsencode(release / "a.lua")) == os.fsencode(link / "a.lua")


# ---- the broker ----------------------------------------------------------------------


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Bench(tmp_path) as bench:
        yield bench


def test_a_new_script_is_refused_for_now_and_served_when_it_can_be_read(
    bench: Bench,
) -> None:
    host = bench.host()
    bench.supervisor(host)
    front = bench.front()
    path = bench.write("a.lua", "one")
    asked = [path + b"/%d" % i for i in range(MOST_UNFINISHED + 1)]
    with no_descriptors():
        for name in asked:
            front.say(Miss(name, ()))
        place = front.expect(Place)
        assert (place.asked, place.verdict) == (asked[-1], Verdict.REFUSED)
        assert place.retry_after_s > 0
    assert host.load().source == b"one"
    for _ in asked[:-1]:
        assert front.expect(Place, lambda p: bool(p.asked)).verdict == Verdict.READY


def test_a_module_that_cannot_be_read_breaks_no_script(bench: Bench) -> None:
    host = bench.host()
    bench.supervisor(host)
    front = bench.front()
    bench.write("lib.lua", "return 1")
    needy, other = bench.write("a.lua", "require 'lib'"), bench.write("b.lua", "two")
    front.say(Miss(needy, ()))
    load = host.expect(Load)
    with no_descriptors():
        for i in range(MOST_UNFINISHED + 1):  # these wait, so that nothing else may
            front.say(Miss(other + b"/%d" % i, ()))
        front.expect(Place, lambda p: p.asked.startswith(other))
        host.say(Need(1, load.script, load.epoch, NeedKind.MODULE, b"lib"))
        source = host.expect(Source)
        assert "just now" in source.error
        error = ScriptError("Error", source.error, "", "", 0, "", Budget.NONE)
        host.say(LoadFailed(load.script, load.epoch, error, (), b""))
        again = host.expect(Load)
        assert (again.script, again.epoch) == (load.script, load.epoch)
    host.say(Need(2, load.script, load.epoch, NeedKind.MODULE, b"lib"))
    assert host.expect(Source).blob.source == b"return 1"
    assert not [s for s in bench.wait_for(lambda _: True)["scripts"] if s["error"]]


def test_a_deploy_that_cannot_be_read_is_not_acknowledged(bench: Bench) -> None:
    host = bench.host()
    bench.supervisor(host)
    front = bench.front()
    path = bench.write("a.lua", "one")
    front.say(Miss(path, ()))
    host.load()
    front.expect(Place, lambda place: place.asked == path)
    command = bench.dealer(Role.COMMAND)
    command.greet()
    bench.write("a.lua", "two")
    with no_descriptors():
        command.say(Reload(path, True))
        answer = command.expect(Reloaded)
        assert not answer.ok
        assert "too many open files" in answer.error
    assert host.load().source == b"two"


# ---- the machine ---------------------------------------------------------------------


def test_a_load_that_could_not_be_read_is_ordered_again_and_blames_nobody() -> None:
    paper = Paper()
    a = script("a")
    paper.write(a)
    paper.join("h1")
    paper.miss(a)
    [load] = [order for order in paper.orders if isinstance(order, act.Load)]
    paper.hosts[load.host].orders.clear()
    paper.play(ev.StateGone(load.host, a, load.epoch, Closing.UNREAD))
    assert paper.broker.farm.records[a].failure is None
    paper.tick()
    paper.run()
    assert paper.places[a].hosts == (load.host,)
