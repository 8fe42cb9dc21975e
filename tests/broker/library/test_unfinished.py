"""Files that somebody still has open for writing are not others yet."""

import contextlib
import ctypes
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.library.unfinished import LONGEST_S, REST_S
from tests.broker.library.tree import POLL_S, POOL, Tree, of, replace_with


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    tree = Tree(tmp_path)
    tree.clock_ahead_s = 1.0  # files were written a second ago
    tree.write("a.lua", "one")
    tree.follow("a.lua")
    yield tree
    tree.close()


CAP_LEASE = 28


@contextlib.contextmanager
def stranger(*paths: Path) -> Iterator[None]:
    """Be a user who may ask nothing of these files: neither their owner nor root."""
    for path in paths:
        try:
            os.chown(path, 65534, 65534)
        except PermissionError as error:
            pytest.skip(f"{error.strerror}: only root can give files away")
    libc = ctypes.CDLL(None, use_errno=True)
    header = struct.pack("=Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3
    held = ctypes.create_string_buffer(24)
    assert libc.capget(header, held) == 0
    effective, *others = struct.unpack("=6I", held.raw)
    fewer = struct.pack("=6I", effective & ~(1 << CAP_LEASE), *others)
    assert libc.capset(header, fewer) == 0
    try:
        yield
    finally:
        assert libc.capset(header, held) == 0


def unfinished(tree: Tree) -> object:
    return tree.watcher.status()["unfinished"]


@pytest.mark.parametrize("is_touched", [False, True])
def test_a_half_written_file_is_no_other_one_before_it_is_closed(
    tree: Tree, *, is_touched: bool
) -> None:
    with (tree.root / "a.lua").open("w") as file:
        file.write("half")
        file.flush()
        if is_touched:  # an event besides, as uploads set times and modes
            (tree.root / "a.lua").chmod(0o600)
        for _ in range(10):
            assert tree.polled() == {}
            assert tree.changes() == {}
        assert unfinished(tree) == 1
        file.write(" and half")
    assert tree.changes() == {"a.lua": of("half and half")}
    assert unfinished(tree) == 0


def test_a_mapped_file_is_no_other_one_before_it_is_unmapped(tree: Tree) -> None:
    with (tree.root / "a.lua").open("r+b") as file, mmap.mmap(file.fileno(), 3) as view:
        view[:] = b"two"
        file.close()
        assert tree.polled() == {}
    assert (tree.changes() or tree.polled()) == {"a.lua": of("two")}


def test_a_replaced_file_is_another_at_once_whoever_had_the_old_one_open(
    tree: Tree,
) -> None:
    with (tree.root / "a.lua").open("r+"):
        replace_with(tree.root / "a.lua", "two")
        assert tree.changes() == {"a.lua": of("two")}


def test_a_file_that_is_deleted_while_it_is_open_is_gone_at_once(tree: Tree) -> None:
    with (tree.root / "a.lua").open("r+") as file:
        file.write("two")
        file.flush()
        (tree.root / "a.lua").unlink()
        assert tree.changes() == {"a.lua": ""}


def test_the_second_of_two_writers_is_waited_for(tree: Tree) -> None:
    with (tree.root / "a.lua").open("r+") as slow:
        (tree.root / "a.lua").write_text("two")
        assert tree.changes() == {}
        slow.write("three")
    assert tree.changes() == {"a.lua": of("three")}


def test_an_open_file_that_rests_for_long_is_taken_as_it_is(tree: Tree) -> None:
    with (tree.root / "a.lua").open("w") as file:
        file.write("whole")
        file.flush()
        assert tree.polled() == {}
        tree.clock_ahead_s = REST_S + 1.0
        assert tree.polled() == {"a.lua": of("whole")}


def test_a_file_that_is_written_to_forever_is_taken_now_and_then(tree: Tree) -> None:
    with (tree.root / "a.lua").open("w") as file:
        file.write("line\n")
        file.flush()
        for _ in range(round(LONGEST_S / POLL_S)):
            assert tree.polled() == {}
        assert tree.polled() == {"a.lua": of("line\n")}


def test_who_asks_for_a_look_says_that_open_files_are_whole(tree: Tree) -> None:
    with (tree.root / "a.lua").open("w") as file:
        file.write("two")
        file.flush()
        assert tree.polled() == {}
        files = tree.watcher.check(b"", tree.now).files
        assert [f.digest.hex() for f in files] == [of("two")]
    assert tree.changes() == {}


def test_of_files_that_belong_to_others_inotify_says_who_is_done(tree: Tree) -> None:
    path = tree.root / "a.lua"
    with stranger(path):
        assert tree.sources.has_writer(os.fsencode(path)) is None
        with path.open("r+") as file:
            file.write("half")
            file.flush()
            assert tree.polled() == {}
            path.chmod(0o600)
            assert tree.changes() == {}
        assert tree.changes() == {"a.lua": of("half")}
        # of what is written elsewhere nothing is said: it must have rested
        other = tree.root.parent / f"{tree.root.name}.other"
        other.hardlink_to(path)
        tree.changes()
        other.write_text("five")
        assert tree.polled() == {}
        tree.clock_ahead_s = REST_S + 1.0
        assert tree.polled() == {"a.lua": of("five")}


def test_what_changed_before_it_was_followed_is_no_matter_of_events(
    tree: Tree,
) -> None:
    path = tree.write("b.lua", "new")
    with stranger(path):
        seen_before = tree.sources.look(POOL, tree.path("a.lua")).digest
        tree.watcher.follow((POOL, tree.path("b.lua")), seen_before, tree.now)
        assert tree.settled() == {"b.lua": of("new")}


def test_that_a_file_was_closed_is_not_forgotten_when_it_is_followed_anew(
    tree: Tree,
) -> None:
    path = tree.root / "a.lua"
    with stranger(path):
        path.write_text("two")
        assert tree.hinted()
        # a state was loaded meanwhile from what was there before
        known = tree.watcher.known((POOL, tree.path("a.lua")))
        tree.watcher.follow((POOL, tree.path("a.lua")), known, tree.now)
        assert tree.settled() == {"a.lua": of("two")}


def test_a_new_file_is_known_to_be_unfinished_by_its_creation(tree: Tree) -> None:
    new = tree.root / "new.lua"
    key = (POOL, tree.path("new.lua"))
    with new.open("w") as file, stranger(new):
        file.write("half")
        file.flush()
        assert not tree.hinted()
        assert tree.watcher.is_unfinished(key)
        file.close()
        tree.watcher.read_events(tree.now)
        assert not tree.watcher.is_unfinished(key)


def test_the_kernel_is_asked_who_writes_a_file(tree: Tree) -> None:
    path = tree.root / "a.lua"
    name = os.fsencode(path)
    assert tree.sources.has_writer(name) is False
    with path.open("rb"):
        assert tree.sources.has_writer(name) is False
    with path.open("ab"):
        assert tree.sources.has_writer(name) is True
    assert tree.sources.has_writer(name) is False
    assert tree.sources.has_writer(name + b".none") is None
    assert tree.sources.has_writer(os.fsencode(tree.root)) is None


def test_on_a_network_file_system_a_file_must_rest_from_look_to_look(
    tmp_path: Path,
) -> None:
    root = os.fsencode(tmp_path)
    tree = Tree(tmp_path, is_silent=lambda at: "nfs" if at == root else "")
    tree.clock_ahead_s = 0.5
    tree.write("a.lua", "one")
    tree.follow("a.lua")
    (tmp_path.parent / "far").mkdir(exist_ok=True)
    far = tmp_path.parent / f"far/{tmp_path.name}"
    far.hardlink_to(tmp_path / "a.lua")  # writes there give no event here
    for text in ("half", "half and"):
        far.write_text(text)
        assert tree.polled() == {}
    assert tree.polled() == {"a.lua": of("half and")}
    tree.close()
