"""Reading files for scripts: from real directories, never from outside of them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.library.sources import Sources, digest_of
from broker.resolve import PoolPaths
from luafarm import strangers
from luafarm.names import Pool, Script
from luafarm.wire.messages import Blob, Dependency, NeedKind
from tests.broker.library.tree import POOL, Tree

SECRET = "secret"


def answer_of(
    sources: Sources, pool: Pool, path: bytes, kind: NeedKind, name: bytes
) -> tuple[Blob, str]:
    """Return what a script is told that asks for this."""
    answer = sources.answer(pool, path, kind, name)
    assert answer is not None
    return answer


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    (tmp_path / "secret.lua").write_text(SECRET)
    (tmp_path / "root").mkdir()
    (tmp_path / "lib").mkdir()
    tree = Tree(tmp_path / "root", tmp_path / "lib")
    tree.write("a.lua", "one")
    yield tree
    tree.close()


def test_a_script_is_found_with_path_info_behind_it(tree: Tree) -> None:
    for asked in ("a.lua", "a.lua/info", "a.lua/in/fo.lua"):
        found, _ = tree.sources.find(tree.path(asked))
        assert found is not None
        assert found.script == tree.path("a.lua")
        assert found.digest == digest_of(b"one")


@pytest.mark.parametrize(
    "asked", ["b.lua", "", "a.lua/", "../secret.lua", "x/../a.lua", "a.lua\0", "dir"]
)
def test_what_is_no_script_is_not_found(tree: Tree, asked: str) -> None:
    (tree.root / "dir").mkdir()
    assert tree.sources.find(os.fsencode(f"{tree.root}/{asked}"))[0] is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_who_may_turn_a_root_reads_nothing_that_is_not_his(tmp_path: Path) -> None:
    tenant = 61_001
    for name, owner in (("5", tenant), ("6", tenant), ("others", tenant + 1)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.lua").write_text(name)
        os.chown(tmp_path / name, owner, -1)
    link = tmp_path / "current"
    asked = os.fsencode(link / "a.lua")
    sources = Sources({POOL: PoolPaths(POOL, (os.fsencode(link),), ())}, 1 << 20)
    for target, digest in (("5", b"5"), ("others", None), ("6", b"6")):
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        os.chown(link, tenant, -1, follow_symlinks=False)
        expected = b"" if digest is None else digest_of(digest)
        assert sources.look(POOL, asked).digest == expected, target


def test_links_are_followed_inside_the_directories_only(tree: Tree) -> None:
    tree.write("real/b.lua", "inside")
    tree.write("../lib/c.lua", "library")
    for name, target in [
        ("in.lua", "real/b.lua"),
        ("lib.lua", "../lib/c.lua"),
        ("out.lua", "../secret.lua"),
        ("absolute.lua", str(tree.root.parent / "secret.lua")),
        ("proc.lua", "/proc/self/environ"),
        ("up", ".."),
    ]:
        (tree.root / name).symlink_to(target)
    contents = {
        name: tree.sources.look(POOL, tree.path(name)).digest
        for name in ("in.lua", "lib.lua", "out.lua", "absolute.lua", "proc.lua")
    }
    assert contents == {
        "in.lua": digest_of(b"inside"),
        "lib.lua": digest_of(b"library"),
        "out.lua": b"",
        "absolute.lua": b"",
        "proc.lua": b"",
    }
    assert tree.sources.look(POOL, tree.path("up/secret.lua")).digest == b""


def test_a_module_behind_a_link_that_leads_outside_says_so(tree: Tree) -> None:
    (tree.root / "out.lua").symlink_to("../secret.lua")
    (tree.root / "gone.lua").symlink_to("../nothing.lua")
    for name, kind in ((b"out", NeedKind.MODULE), (b"out.lua", NeedKind.FILE)):
        answer = tree.sources.answer(POOL, tree.path("a.lua"), kind, name)
        assert answer is not None
        blob, why = answer
        assert (blob.path, blob.source) == (b"", b"")
        link = f"no file '{tree.root}/out.lua': a link that leads outside"
        assert link in why
    answer = tree.sources.answer(POOL, tree.path("a.lua"), NeedKind.MODULE, b"gone")
    assert answer is not None
    assert "leads outside" not in answer[1]


def test_a_root_may_itself_lie_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "v1").mkdir()
    (tmp_path / "v1/a.lua").write_text("one")
    (tmp_path / "current").symlink_to("v1")
    tree = Tree(tmp_path / "current")
    assert tree.sources.look(POOL, tree.path("a.lua")).digest == digest_of(b"one")
    tree.close()


def test_pools_do_not_see_each_others_files(tmp_path: Path) -> None:
    for name in "xy":
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.lua").write_text(name)
    (tmp_path / "x/y.lua").symlink_to("../y/a.lua")
    roots = {n: os.fsencode(tmp_path / n) for n in "xy"}
    pools = {Pool(n): PoolPaths(Pool(n), (roots[n],), ()) for n in "xy"}
    sources = Sources(pools, 1000)
    assert sources.look(Pool("x"), roots["x"] + b"/y.lua").digest == b""
    blob, error = answer_of(
        sources,
        Pool("x"),
        roots["x"] + b"/a.lua",
        NeedKind.FILE,
        roots["y"] + b"/a.lua",
    )
    assert blob.path == b""
    assert "inside the script roots" in error


def test_a_fifo_is_no_file_and_no_hang(tree: Tree) -> None:
    os.mkfifo(tree.root / "fifo.lua")
    assert tree.sources.look(POOL, tree.path("fifo.lua")).digest == b""


def test_a_file_above_the_limit_is_an_error_that_names_it(tree: Tree) -> None:
    tree.write("big.lua", "x" * ((1 << 20) + 1))
    now = tree.sources.look(POOL, tree.path("big.lua"))
    assert now.digest == b""
    assert "1048576" in now.error
    tree.write("big.lua", "x" * (1 << 20))
    assert tree.sources.look(POOL, tree.path("big.lua")).error == ""


def test_an_unchanged_file_is_read_once(tree: Tree, tmp_path: Path) -> None:
    path = tree.path("a.lua")
    first = tree.sources.look(POOL, path)
    before = Path(os.fsdecode(path)).stat()
    assert tree.sources.look(POOL, path) == first
    assert Path(os.fsdecode(path)).stat().st_atime_ns == before.st_atime_ns


def test_a_file_just_written_is_read_again_though_its_times_are_the_same(
    tree: Tree,
) -> None:
    tree.clock_ahead_s = 0.0
    path = tree.root / "a.lua"
    for i in range(50):
        # same size, same inode, within one tick of the kernel's clock
        path.write_text(f"{i:03}")
        now = tree.sources.look(POOL, os.fsencode(path))
        assert now.digest == digest_of(f"{i:03}".encode())


def test_questions_are_answered_in_the_order_of_candidates(tree: Tree) -> None:
    script = tree.path("app/x.lua")
    tree.write("../lib/m.lua", "library")
    answers = []
    for place in (None, "m/init.lua", "m.lua", "app/m/init.lua", "app/m.lua"):
        if place:
            tree.write(place, place)
        blob, error = answer_of(tree.sources, POOL, script, NeedKind.MODULE, b"m")
        assert error == ""
        answers.append(blob.source.decode())
    assert answers == ["library", "m/init.lua", "m.lua", "app/m/init.lua", "app/m.lua"]


def test_a_missing_module_is_told_with_all_that_was_tried(tree: Tree) -> None:
    blob, error = answer_of(
        tree.sources, POOL, tree.path("a.lua"), NeedKind.MODULE, b"no.such"
    )
    assert blob.path == b""
    assert f"no file '{tree.root}/no/such.lua'" in error
    _, error = answer_of(tree.sources, POOL, tree.path("a.lua"), NeedKind.MODULE, b"..")
    assert "not a name inside the script roots" in error


def test_a_content_is_had_from_memory_after_the_file_has_changed(tree: Tree) -> None:
    path = tree.path("a.lua")
    old = tree.sources.look(POOL, path).digest
    tree.write("a.lua", "two")
    tree.sources.look(POOL, path)
    assert tree.sources.content(POOL, path, old) == b"one"
    assert tree.sources.content(POOL, path, digest_of(b"two")) == b"two"
    assert tree.sources.content(POOL, path, digest_of(b"never")) is None


def test_memory_is_bounded_and_last_good_contents_go_last(tmp_path: Path) -> None:
    paths = PoolPaths(POOL, (os.fsencode(tmp_path),), ())
    sources = Sources({POOL: paths}, 1000, most_bytes=1000)
    digests = []
    for i in range(20):
        path = tmp_path / f"{i}.lua"
        path.write_text(f"{i:0100}")
        digests.append(sources.look(POOL, os.fsencode(path)).digest)
        path.unlink()
        if i == 0:
            sources.keep(Script(b"/x"), (digests[0],))

    def had(i: int) -> bool:
        path = os.fsencode(tmp_path / f"{i}.lua")
        return sources.content(POOL, path, digests[i]) is not None

    assert had(0)
    assert had(19)
    assert sum(had(i) for i in range(20)) <= 10
    sources.keep(Script(b"/x"), ())
    for i in range(20, 40):
        path = tmp_path / f"{i}.lua"
        path.write_text(f"{i:0100}")
        sources.look(POOL, os.fsencode(path))
    assert not had(0)


def test_a_content_that_was_let_go_is_read_again(tmp_path: Path) -> None:
    paths = PoolPaths(POOL, (os.fsencode(tmp_path),), ())
    sources = Sources({POOL: paths}, 1000, lambda: 1e12, most_bytes=300)
    digests = {}
    for i in range(10):
        path = tmp_path / f"{i}.lua"
        path.write_text(f"{i:0100}")
        digests[i] = sources.look(POOL, os.fsencode(path)).digest
    for i in range(10):
        content = sources.content(POOL, os.fsencode(tmp_path / f"{i}.lua"), digests[i])
        assert content == f"{i:0100}".encode()


def test_what_a_state_used_includes_what_was_not_there(tree: Tree) -> None:
    script = tree.path("app/x.lua")
    dependencies = (
        Dependency(NeedKind.MODULE, b"m", tree.path("m.lua"), b"d"),
        Dependency(NeedKind.FILE, b"data", b"", b""),
    )
    assert dict(tree.sources.used(POOL, script, dependencies)) == {
        tree.path("app/m.lua"): b"",
        tree.path("app/m/init.lua"): b"",
        tree.path("m.lua"): b"d",
        tree.path("app/data"): b"",
        tree.path("data"): b"",
    }


def test_a_young_file_is_young_for_a_while(tree: Tree) -> None:
    tree.clock_ahead_s = 0.0
    tree.write("n.lua", "new")
    assert tree.sources.is_young(tree.path("n.lua"), 60.0)
    tree.clock_ahead_s = 61.0
    assert not tree.sources.is_young(tree.path("n.lua"), 60.0)
    assert not tree.sources.is_young(tree.path("absent.lua"), 60.0)


def test_a_trusted_pool_runs_no_file_that_strangers_could_have_written(
    tmp_path: Path,
) -> None:
    paths = {Pool(n): PoolPaths(Pool(n), (os.fsencode(tmp_path),), ()) for n in "xy"}
    circles = {Pool("x"): strangers.own_circle()}
    sources = Sources(paths, 1000, circles=circles)
    file = tmp_path / "a.lua"
    file.write_text("one")
    file.chmod(0o646)
    path = os.fsencode(file)
    wrong = sources.look(Pool("x"), path)
    assert wrong.digest == b""
    assert wrong.error.startswith(f"{file} may be written by others (")
    assert sources.look(Pool("y"), path).digest == digest_of(b"one")  # sandboxed
    file.chmod(0o644)
    assert sources.look(Pool("x"), path).digest == digest_of(b"one")
    if os.geteuid() == 0:
        os.chown(file, 4711, -1)
        wrong = sources.look(Pool("x"), path)
        assert wrong.error.startswith(f"{file} belongs to uid 4711 (mode 0644)")
