"""What keeps a path from being a script: found, watched, and noticed when it passes."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.events import Barrier
from tests.broker.library.tree import Tree, replace_with


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    (tmp_path / "root").mkdir()
    tree = Tree(tmp_path / "root")
    yield tree
    tree.close()


def barrier(tree: Tree, asked: str) -> Barrier:
    """Return where the way to a path without a script ends."""
    found, barrier = tree.sources.find(tree.path(asked))
    assert found is None, found
    assert barrier is not None
    return barrier


def wait_for(tree: Tree, asked: str) -> str:
    """Have the barrier of this path watched; return it."""
    there = barrier(tree, asked)
    tree.watcher.watch_barrier(there.path, there.seen, tree.now)
    return os.path.relpath(os.fsdecode(there.path), tree.root)


def watched(tree: Tree) -> set[str]:
    """Return the names below the root that are watched."""
    directories = tree.watcher._directories._directories
    return {
        os.path.relpath(os.fsdecode(at + b"/" + name), tree.root)
        for at, directory in directories.items()
        for name in directory.names
        if at.startswith(os.fsencode(tree.root))
    }


DEEP = "/".join(f"d{i}" for i in range(60)) + "/x.lua"


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("x.lua", "x.lua"),
        ("x.lua/info", "x.lua"),
        ("no/such/x.lua", "no"),
        (DEEP, "d0"),
        ("dir/x.lua", "dir/x.lua"),
        ("dir/no/x.lua", "dir/no"),
        ("dir.lua", "dir.lua"),
        ("dir.lua/x", "dir.lua"),
        ("dir.lua/x.lua", "dir.lua/x.lua"),
        ("evil.jpg/x.lua", "evil.jpg"),
        ("dangling/x.lua", "dangling"),
        ("fifo.lua/x", "fifo.lua"),
        ("outside.lua", "outside.lua"),
    ],
)
def test_the_first_component_that_is_no_directory_is_the_barrier(
    tree: Tree, asked: str, expected: str
) -> None:
    for name in ("dir", "dir.lua"):
        (tree.root / name).mkdir()
    tree.write("evil.jpg", "function main() end")
    (tree.root / "dangling").symlink_to("nowhere")
    (tree.root / "outside.lua").symlink_to("/etc/passwd")
    os.mkfifo(tree.root / "fifo.lua")
    assert os.fsdecode(barrier(tree, asked).path) == str(tree.root / expected)


def test_without_a_root_the_barrier_is_before_it(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "a/b/root")
    assert barrier(tree, "x.lua").path == os.fsencode(tmp_path / "a")
    assert wait_for(tree, "x.lua") == "../.."
    tree.root.mkdir(parents=True)
    assert tree.passed() == ["../.."]
    tree.close()


def test_only_the_barriers_name_is_watched_however_deep_the_path_is(tree: Tree) -> None:
    (tree.root / "dir").mkdir()
    wait_for(tree, "dir/" + DEEP)
    assert watched(tree) == {"dir", "dir/d0"}
    few = tree.watcher.status()["watches"]
    for i in range(200):
        wait_for(tree, f"dir/{i}/" + DEEP)
    status = tree.watcher.status()
    assert (status["barriers"], status["places"]) == (201, 1)
    assert status["watches"] == few


def test_nothing_is_watched_any_more_for_what_is_forgotten(tree: Tree) -> None:
    (tree.root / "dir").mkdir()
    (tree.root / "link.lua").symlink_to("dir/nothing.lua")
    asked = ("a.lua", "b.lua", "dir/c.lua", "no/such/d.lua", "link.lua")
    for name in asked:
        wait_for(tree, name)
    assert tree.watcher.status()["watches"]
    for name in asked:
        tree.watcher.unwatch_barrier(barrier(tree, name).path)
    status = tree.watcher.status()
    assert (status["barriers"], status["places"], status["watches"]) == (0, 0, 0)


def appear(tree: Tree, how: str) -> None:
    """Bring the script new/d/x.lua into being."""
    match how:
        case "nested":
            tree.write("new/d/x.lua", "one")
        case "moved":
            tree.write("../made/d/x.lua", "one")
            (tree.root / "../made").rename(tree.root / "new")
        case "linked":
            tree.write("../made/d/x.lua", "one")
            (tree.root / "new").symlink_to(tree.root / "../made")
        case _:
            (tree.root / "new").mkdir()
            (tree.root / "new/d").mkdir()
            tree.write("y.lua", "one")
            (tree.root / "new/d/x.lua").hardlink_to(tree.root / "y.lua")


@pytest.mark.parametrize("how", ["nested", "moved", "linked", "hard"])
def test_a_barrier_passes_when_something_comes_there(tree: Tree, how: str) -> None:
    assert wait_for(tree, "new/d/x.lua") == "new"
    appear(tree, how)
    assert tree.passed() == ["new"]


@pytest.mark.parametrize("how", ["nested", "moved", "linked", "hard"])
def test_polling_finds_what_no_event_told(tree: Tree, how: str) -> None:
    wait_for(tree, "new/d/x.lua")
    wait_for(tree, "other/x.lua")
    appear(tree, how)
    tree.watcher._directories.close()
    tree.now += 1.0
    tree.watcher.poll(tree.now)
    assert tree.passed() == ["new"]


def test_each_way_to_become_a_script_is_noticed(tree: Tree) -> None:
    (tree.root / "dir.lua").mkdir()
    (tree.root / "link.lua").symlink_to("target")
    tree.write("evil.jpg", "x")
    waits = ("dir.lua", "link.lua", "evil.jpg/x.lua", "a.lua")
    for asked in waits:
        wait_for(tree, asked)
    assert tree.passed() == []
    (tree.root / "dir.lua").rmdir()
    tree.write("dir.lua", "one")
    tree.write("target", "one")
    (tree.root / "evil.jpg").unlink()
    (tree.root / "evil.jpg").mkdir()
    replace_with(tree.root / "a.lua", "one")
    assert sorted(tree.passed()) == ["a.lua", "dir.lua", "evil.jpg", "link.lua"]


def test_what_comes_between_the_question_and_the_watch_is_noticed(tree: Tree) -> None:
    there = barrier(tree, "a.lua")
    tree.write("a.lua", "one")
    tree.watcher.watch_barrier(there.path, there.seen, tree.now)
    assert tree.passed() == ["a.lua"]


def test_an_emptied_script_is_noticed_when_it_is_filled(tree: Tree) -> None:
    tree.write("a.lua", "")
    _, there = tree.sources.find(tree.path("a.lua"))
    assert there is not None
    tree.watcher.watch_barrier(there.path, there.seen, tree.now)
    assert tree.passed() == []
    (tree.root / "a.lua").write_text("one")
    assert tree.passed() == ["a.lua"]


def test_files_that_nobody_asked_for_let_no_barrier_pass(tree: Tree) -> None:
    wait_for(tree, "a.lua")
    wait_for(tree, "new/b.lua")
    for i in range(10):
        tree.write(f"photo{i}.jpg", "x")
    assert not tree.hinted()


def test_a_flipped_release_lets_only_pass_what_is_in_it(tmp_path: Path) -> None:
    for number in ("1", "2"):
        (tmp_path / "releases" / number).mkdir(parents=True)
    (tmp_path / "releases/2/a.lua").write_text("one")
    (tmp_path / "current").symlink_to("releases/1")
    tree = Tree(tmp_path / "current")
    for asked in ("a.lua", "b.lua", "c/d.lua"):
        wait_for(tree, asked)
    (tmp_path / "next").symlink_to("releases/2")
    (tmp_path / "next").rename(tmp_path / "current")
    assert tree.passed() == ["a.lua"]
    # and the others are waited for where the link leads now
    (tmp_path / "releases/1/b.lua").write_text("one")
    assert tree.passed() == []
    (tmp_path / "releases/2/b.lua").write_text("one")
    (tmp_path / "releases/2/c").mkdir()
    assert sorted(tree.passed()) == ["b.lua", "c"]
    tree.close()


def test_a_directory_that_goes_and_comes_back_is_watched_again(tree: Tree) -> None:
    (tree.root / "dir").mkdir()
    wait_for(tree, "dir/x.lua")
    (tree.root / "dir").rmdir()
    assert tree.passed() == []
    (tree.root / "dir").mkdir()
    assert tree.passed() == []
    tree.write("dir/x.lua", "one")
    assert tree.passed() == ["dir/x.lua"]


def test_a_check_looks_at_all_barriers_at_once(tree: Tree) -> None:
    wait_for(tree, "a.lua")
    tree.write("a.lua", "one")
    changes = tree.watcher.check(tree.path("a.lua"), tree.now)
    assert changes.passed == [tree.path("a.lua")]
