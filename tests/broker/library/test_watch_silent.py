"""Where inotify says nothing, too little, or that it has lost count."""

import contextlib
import errno
import os
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from broker.library.notifier import (
    SILENT_FILE_SYSTEMS,
    Notifier,
    new_inotify,
    silent_file_system,
)
from tests.broker.library.tree import GONE, Tree, of, replace_with


def test_a_write_through_another_hard_link_is_found_by_polling(
    tree: Tree, tmp_path: Path
) -> None:
    (tmp_path / "other").hardlink_to(tree.root / "a.lua")
    tree.follow("a.lua")
    (tmp_path / "other").write_text("two")
    assert not tree.hinted()
    assert tree.polled() == {"a.lua": of("two")}


def test_a_renamed_ancestor_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "x/y/root").mkdir(parents=True)
    tree = Tree(tmp_path / "x/y/root")
    tree.write("a.lua", "one")
    tree.follow("a.lua")
    (tmp_path / "x").rename(tmp_path / "z")
    assert tree.changes() == {"a.lua": GONE}
    tree.close()


def test_polling_comes_round_to_every_path(tree: Tree, tmp_path: Path) -> None:
    names = [f"f{i}.lua" for i in range(1000)]
    for name in names:
        tree.write(name, "one")
        (tmp_path / name).hardlink_to(tree.root / name)
    tree.follow(*names)
    for name in names:
        (tmp_path / name).write_text("two!")
    found: dict[str, str] = {}
    for _ in range(5):
        found.update(tree.polled())
    assert found == dict.fromkeys(names, of("two!"))


def test_an_overflow_of_the_queue_has_everything_looked_at(tree: Tree) -> None:
    tree.write("b.lua", "one")
    tree.follow("a.lua", "b.lua")
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 100_000:
        pytest.skip(f"it takes {limit} events to overflow the queue")
    noise = tree.root / "noise"
    for _ in range(limit // 2 + 1):
        noise.touch()
        noise.unlink()
    replace_with(tree.root / "a.lua", "two")
    assert tree.changes() == {"a.lua": of("two")}
    assert tree.watcher.overflows == 1
    replace_with(tree.root / "b.lua", "three")
    assert tree.changes() == {"b.lua": of("three")}


class Limited:
    """An inotify with room for a number of watches."""

    def __init__(self, watches: int) -> None:
        self.real = new_inotify()
        self.watches = watches
        self.known: set[int] = set()

    def fileno(self) -> int:
        return self.real.fileno()

    def add_watch(self, path: bytes, mask: int) -> int:
        if len(self.known) >= self.watches:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        wd = self.real.add_watch(path, mask)
        self.known.add(wd)
        return wd

    def rm_watch(self, wd: int) -> None:
        self.real.rm_watch(wd)
        self.known.discard(wd)

    def read(self, timeout: int) -> Iterable[tuple[int, int, int, str]]:
        return self.real.read(timeout)

    def close(self) -> None:
        self.real.close()


def test_beyond_the_watch_limit_files_are_polled_and_the_status_says_so(
    tmp_path: Path,
) -> None:
    limited = Limited(0)
    tree = Tree(tmp_path, notifier=lambda: limited)
    tree.write("a.lua", "one")
    tree.follow("a.lua")
    tree.write("a.lua", "two")
    assert not tree.hinted()
    assert tree.polled() == {"a.lua": of("two")}
    polling = tree.watcher.status()["polling"]
    reason = "watch limit: raise fs.inotify.max_user_watches"
    assert {"directory": str(tmp_path), "reason": reason} in polling  # type: ignore[operator]
    # the limit is raised: the next poll watches again
    limited.watches = 1000
    assert tree.polled() == {}
    assert tree.watcher.status()["polling"] == []
    tree.write("a.lua", "three")
    assert tree.changes() == {"a.lua": of("three")}
    tree.close()


def test_without_any_inotify_instance_everything_is_polled(tmp_path: Path) -> None:
    def refuse() -> Notifier:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    tree = Tree(tmp_path, notifier=refuse)
    tree.write("a.lua", "one")
    tree.follow("a.lua", "b.lua")
    tree.write("a.lua", "two")
    tree.write("b.lua", "new")
    assert tree.watcher.fileno() == -1
    assert tree.watcher.trouble
    assert tree.polled() == {"a.lua": of("two"), "b.lua": of("new")}
    assert tree.changes() == {}
    tree.close()


def test_on_a_network_file_system_files_are_polled_as_well(tmp_path: Path) -> None:
    root = os.fsencode(tmp_path)
    tree = Tree(tmp_path, is_silent=lambda at: "nfs" if at == root else "")
    tree.write("a.lua", "one")
    tree.follow("a.lua")
    polling = tree.watcher.status()["polling"]
    assert polling == [{"directory": str(tmp_path), "reason": "nfs"}]
    tree.write("a.lua", "two")
    assert tree.polled() == {"a.lua": of("two")}
    tree.close()


def sysctl(name: str) -> Path:
    """Return a limit of inotify that this process may change, or skip the test."""
    path = Path("/proc/sys/fs/inotify") / name
    try:
        path.write_text(path.read_text())
    except OSError as error:
        pytest.skip(f"{path}: {error.strerror}")
    return path


@contextlib.contextmanager
def limited(path: Path, value: int) -> Iterator[None]:
    """Have the whole system obey this limit, for a moment."""
    before = path.read_text()
    path.write_text(str(value))
    try:
        yield
    finally:
        path.write_text(before)


def test_an_overflow_of_a_tiny_queue_loses_no_change(tmp_path: Path) -> None:
    with limited(sysctl("max_queued_events"), 16):
        tree = Tree(tmp_path)  # a queue has the limit of the time when it is made
    names = [f"f{i}.lua" for i in range(100)]
    for name in names:
        tree.write(name, "one")
    tree.follow(*names)
    for turn in range(3):
        for name in names:
            replace_with(tree.root / name, f"two {turn}")
        assert tree.changes() == dict.fromkeys(names, of(f"two {turn}"))
    assert tree.watcher.status()["overflows"] == 3
    tree.close()


def test_at_the_watch_limit_of_the_system_a_directory_is_polled(tmp_path: Path) -> None:
    path = sysctl("max_user_watches")
    tree = Tree(tmp_path)
    tree.write("a.lua", "one")
    with limited(path, 0):
        tree.follow("a.lua")
    polling = tree.watcher.status()["polling"]
    reason = "watch limit: raise fs.inotify.max_user_watches"
    assert {"directory": str(tmp_path), "reason": reason} in polling  # type: ignore[operator]
    tree.write("a.lua", "two")
    assert tree.polled() == {"a.lua": of("two")}
    assert tree.watcher.status()["polling"] == []
    tree.close()


@contextlib.contextmanager
def bound(source: Path, target: Path) -> Iterator[None]:
    """Mount a directory over another one, or skip the test."""
    done = subprocess.run(
        ["mount", "--bind", source, target], capture_output=True, check=False, text=True
    )
    if done.returncode:
        pytest.skip(done.stderr.strip())
    try:
        yield
    finally:
        subprocess.run(["umount", target], check=True)


def test_a_bind_mount_over_a_directory_is_found_by_polling(
    tree: Tree, tmp_path: Path
) -> None:
    (tmp_path / "next").mkdir()
    (tmp_path / "next/x.lua").write_text("two")
    tree.write("d/x.lua", "one")
    tree.follow("d/x.lua")
    with bound(tmp_path / "next", tree.root / "d"):
        assert not tree.hinted()
        assert tree.polled() == {"d/x.lua": of("two")}
        # and from now on the directory that is seen is the one that is watched
        (tmp_path / "next/x.lua").write_text("three")
        assert tree.changes() == {"d/x.lua": of("three")}
    assert (tree.changes() or tree.polled()) == {"d/x.lua": of("one")}


def test_a_write_through_a_bind_mount_is_noticed(tree: Tree, tmp_path: Path) -> None:
    tree.write("d/x.lua", "one")
    tree.follow("d/x.lua")
    (tmp_path / "view").mkdir()
    with bound(tree.root / "d", tmp_path / "view"):
        replace_with(tmp_path / "view/x.lua", "two")
        assert tree.changes() == {"d/x.lua": of("two")}


@pytest.mark.parametrize(
    ("number", "name"), [(0x6969, "nfs"), (0x65735546, "fuse"), (0x01021997, "9p")]
)
def test_network_file_systems_are_told_by_statfs(number: int, name: str) -> None:
    assert SILENT_FILE_SYSTEMS[number] == name
    # what this machine has under these directories needs no polling
    assert silent_file_system(b"/proc") == silent_file_system(b"/dev") == ""
    assert silent_file_system(b"/nowhere/at/all") == ""
