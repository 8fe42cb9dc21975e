"""Changes on a real file system: inotify gives the hint, the file is the truth.

One test for each row of the inotify pitfalls, and for the ways in which editors, tools
and deploys write files. Events are queued by the kernel before the call that causes
them returns, so nothing here waits.
"""

import errno
import mmap
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from broker.notifier import Notifier, new_inotify
from broker.watch import ALONE, LONGEST
from tests.broker.tree import GONE, POOL, SETTLE_S, Tree, of


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    (tmp_path / "root").mkdir()
    tree = Tree(tmp_path / "root")
    tree.write("a.lua", "one")
    yield tree
    tree.close()


# ---- how files are written -----------------------------------------------------------


def overwrite(path: Path) -> None:
    path.write_text("two")


def replace(path: Path) -> None:
    other = path.with_name(".tmp")
    other.write_text("two")
    other.rename(path)


def replace_from_elsewhere(path: Path) -> None:
    other = path.parent.parent / "staged"
    other.write_text("two")
    other.rename(path)


def vim_backupcopy_no(path: Path) -> None:
    probe = path.with_name("4913")
    probe.touch()
    probe.unlink()
    backup = path.with_name(path.name + "~")
    path.rename(backup)
    path.write_text("two")
    path.chmod(0o644)
    backup.unlink()


def vim_backupcopy_yes(path: Path) -> None:
    backup = path.with_name(path.name + "~")
    shutil.copy2(path, backup)
    path.write_text("two")
    backup.unlink()


def emacs(path: Path) -> None:
    auto = path.with_name(f"#{path.name}#")
    auto.write_text("tw")
    lock = path.with_name(f".#{path.name}")
    lock.symlink_to("user@host.1:2")
    path.rename(path.with_name(path.name + "~"))
    path.write_text("two")
    lock.unlink()
    auto.unlink()


def sed(path: Path) -> None:
    subprocess.run(["sed", "-i", "s/one/two/", path], check=True)


def rsync(path: Path) -> None:
    temporary = path.with_name(f".{path.name}.Xy12Zz")
    temporary.write_text("two")
    os.utime(temporary, (1, 1))
    temporary.rename(path)


def git_checkout(path: Path) -> None:
    path.unlink()
    path.write_text("two")


def deleted_and_linked(path: Path) -> None:
    other = path.with_name("b")
    other.write_text("two")
    path.unlink()
    path.hardlink_to(other)


def swapped(path: Path) -> None:
    other = path.with_name("b")
    other.write_text("two")
    path.rename(path.with_name("c"))
    other.rename(path)


def mapped(path: Path) -> None:
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 3) as memory:
        memory[:] = b"two"
        memory.flush()


def truncated_and_written(path: Path) -> None:
    fd = os.open(path, os.O_WRONLY)
    os.ftruncate(fd, 0)
    os.write(fd, b"two")
    os.close(fd)


def replaced_by_a_symlink(path: Path) -> None:
    target = path.with_name("target")
    target.write_text("two")
    link = path.with_name("link")
    link.symlink_to("target")
    link.rename(path)


WAYS = [
    overwrite,
    replace,
    replace_from_elsewhere,
    vim_backupcopy_no,
    vim_backupcopy_yes,
    emacs,
    sed,
    rsync,
    git_checkout,
    deleted_and_linked,
    swapped,
    mapped,
    truncated_and_written,
    replaced_by_a_symlink,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_every_way_of_writing_a_file_is_noticed_again_and_again(
    tree: Tree, way: Callable[[Path], None]
) -> None:
    tree.follow("a.lua")
    for _ in range(3):
        way(tree.root / "a.lua")
        assert tree.changes() == {"a.lua": of("two")}
        replace_with(tree.root / "a.lua", "one")
        assert tree.changes() == {"a.lua": of("one")}


def replace_with(path: Path, text: str) -> None:
    other = path.with_name(".other")
    other.write_text(text)
    other.rename(path)


def test_a_replace_that_keeps_size_and_mtime_is_noticed(tree: Tree) -> None:
    path = tree.root / "a.lua"
    before = path.stat()
    tree.follow("a.lua")
    other = tree.write("other", "two")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.rename(path)
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert tree.changes() == {"a.lua": of("two")}


def test_what_changes_no_content_is_no_change(tree: Tree) -> None:
    tree.follow("a.lua")
    path = tree.root / "a.lua"
    path.touch()
    path.chmod(0o600)
    replace_with(path, "one")
    assert tree.hinted()
    assert tree.changes() == {}


def test_a_file_that_is_still_open_for_writing_gives_no_hint(tree: Tree) -> None:
    tree.follow("a.lua", "new.lua")
    with (
        (tree.root / "a.lua").open("w") as file,
        (tree.root / "new.lua").open("w") as new,
    ):
        file.write("two and a half")
        new.write("two")
        file.flush()
        new.flush()
        assert not tree.hinted()
    assert tree.changes() == {"a.lua": of("two and a half"), "new.lua": of("two")}


def test_deleted_and_created_again(tree: Tree) -> None:
    tree.follow("a.lua")
    for text in ("two", "three"):
        (tree.root / "a.lua").unlink()
        assert tree.changes() == {"a.lua": GONE}
        tree.write("a.lua", text)
        assert tree.changes() == {"a.lua": of(text)}


def test_a_file_becomes_a_directory_and_a_file_again(tree: Tree) -> None:
    tree.follow("a.lua", "a.lua/init.lua")
    (tree.root / "a.lua").unlink()
    tree.write("a.lua/init.lua", "inner")
    assert tree.changes() == {"a.lua": GONE, "a.lua/init.lua": of("inner")}
    shutil.rmtree(tree.root / "a.lua")
    tree.write("a.lua", "two")
    assert tree.changes() == {"a.lua": of("two"), "a.lua/init.lua": GONE}


# ---- directories ---------------------------------------------------------------------


def test_no_file_in_new_nested_directories_is_missed(tree: Tree) -> None:
    for i in range(200):
        name = f"new{i}/deep/er/x.lua"
        tree.follow(name)
        tree.write(name, "found")
        seen = tree.changes() or tree.changes()
        assert seen == {name: of("found")}, i
        tree.unfollow(name)


def test_directories_that_come_one_by_one_are_followed(tree: Tree) -> None:
    tree.follow("d/e/x.lua")
    (tree.root / "d").mkdir()
    assert tree.changes() == {}
    (tree.root / "d/e").mkdir()
    assert tree.changes() == {}
    tree.write("d/e/x.lua", "here")
    assert tree.changes() == {"d/e/x.lua": of("here")}


def test_a_moved_directory_takes_its_files_away_and_brings_others(tree: Tree) -> None:
    tree.write("d/x.lua", "one")
    tree.write("next/x.lua", "two")
    tree.follow("d/x.lua")
    (tree.root / "d").rename(tree.root / "old")
    assert tree.changes() == {"d/x.lua": GONE}
    (tree.root / "next").rename(tree.root / "d")
    assert tree.changes() == {"d/x.lua": of("two")}
    # and the directory that is there now is the one that is watched
    (tree.root / "old/x.lua").write_text("not ours")
    assert tree.changes() == {}
    (tree.root / "d/x.lua").write_text("three")
    assert tree.changes() == {"d/x.lua": of("three")}


def test_two_directories_swapped_at_once(tree: Tree) -> None:
    tree.write("d/x.lua", "one")
    tree.write("e/x.lua", "two")
    tree.follow("d/x.lua", "e/x.lua")
    (tree.root / "d").rename(tree.root / "t")
    (tree.root / "e").rename(tree.root / "d")
    (tree.root / "t").rename(tree.root / "e")
    assert tree.changes() == {"d/x.lua": of("two"), "e/x.lua": of("one")}
    (tree.root / "d/x.lua").write_text("three")
    (tree.root / "e/x.lua").write_text("four")
    seen = tree.changes()
    assert seen == {"d/x.lua": of("three"), "e/x.lua": of("four")}


def test_a_deleted_tree_that_is_made_anew_is_followed(tree: Tree) -> None:
    tree.write("d/e/x.lua", "one")
    tree.follow("d/e/x.lua")
    shutil.rmtree(tree.root / "d")
    assert tree.changes() == {"d/e/x.lua": GONE}
    tree.write("d/e/x.lua", "two")
    assert tree.changes() == {"d/e/x.lua": of("two")}
    tree.write("d/e/x.lua", "three")
    assert tree.changes() == {"d/e/x.lua": of("three")}


def test_the_root_itself_may_go_and_come_back(tree: Tree) -> None:
    tree.follow("a.lua")
    tree.root.rename(tree.root.with_name("gone"))
    assert tree.changes() == {"a.lua": GONE}
    tree.root.mkdir()
    tree.write("a.lua", "two")
    assert tree.changes() == {"a.lua": of("two")}


# ---- symlinks ------------------------------------------------------------------------


@pytest.fixture
def releases(tmp_path: Path) -> Iterator[Tree]:
    """Return a tree with its root below `current`, a symlink that deploys flip."""
    for n in (1, 2, 3):
        release = tmp_path / f"releases/{n}/www"
        release.mkdir(parents=True)
        (release / "a.lua").write_text(f"release {n}")
        (release / "same.lua").write_text("same")
    (tmp_path / "current").symlink_to("releases/1")
    tree = Tree(tmp_path / "current/www")
    yield tree
    tree.close()


def flip(link: Path, target: str) -> None:
    other = link.with_name("flip")
    other.symlink_to(target)
    other.rename(link)


def test_a_flipped_symlink_changes_what_is_below_it(releases: Tree) -> None:
    releases.follow("a.lua", "same.lua", "absent.lua")
    current = releases.root.parent
    for n in (2, 3, 1, 2):
        flip(current, f"releases/{n}")
        assert releases.changes() == {"a.lua": of(f"release {n}")}
    (current / "www/a.lua").write_text("edited in place")
    assert releases.changes() == {"a.lua": of("edited in place")}
    (current.parent / "releases/1/www/a.lua").write_text("old release")
    assert releases.changes() == {}


def test_ln_sfn_which_unlinks_first_is_noticed(releases: Tree) -> None:
    releases.follow("a.lua")
    current = releases.root.parent
    current.unlink()
    current.symlink_to("releases/2")
    assert releases.changes() == {"a.lua": of("release 2")}


def test_chains_of_symlinks_are_watched_link_by_link(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root/real.lua").write_text("one")
    (tmp_path / "root/other.lua").write_text("two")
    (tmp_path / "root/second").symlink_to(tmp_path / "root/real.lua")
    (tmp_path / "root/first").symlink_to("second")
    (tmp_path / "root/a.lua").symlink_to("../root/./first")
    tree = Tree(tmp_path / "root")
    tree.follow("a.lua")
    flip(tmp_path / "root/second", "other.lua")
    assert tree.changes() == {"a.lua": of("two")}
    (tmp_path / "root/other.lua").write_text("three")
    assert tree.changes() == {"a.lua": of("three")}
    flip(tmp_path / "root/first", "real.lua")
    assert tree.changes() == {"a.lua": of("one")}
    tree.close()


def test_a_link_out_of_the_roots_is_no_file(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "secret.lua").write_text("secret")
    tree.follow("a.lua")
    flip(tree.root / "a.lua", "../secret.lua")
    assert tree.changes() == {"a.lua": GONE}
    flip(tree.root / "a.lua", "b.lua")
    tree.write("b.lua", "inside")
    assert tree.changes() == {"a.lua": of("inside")}


def test_a_dangling_link_waits_for_its_target(tree: Tree) -> None:
    (tree.root / "l.lua").symlink_to("dir/target.lua")
    tree.follow("l.lua")
    tree.write("dir/target.lua", "there")
    assert tree.changes() == {"l.lua": of("there")}


def test_a_loop_of_links_is_an_error_and_no_hang(tree: Tree) -> None:
    tree.follow("a.lua")
    (tree.root / "b.lua").symlink_to("a.lua")
    flip(tree.root / "a.lua", "b.lua")
    assert tree.changes() == {"a.lua": "too many levels of symbolic links"}
    replace_with(tree.root / "a.lua", "two")
    assert tree.changes() == {"a.lua": of("two")}


# ---- where inotify is silent ---------------------------------------------------------


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


# ---- watches come and go -------------------------------------------------------------


def test_watches_are_given_up_with_the_last_path(tree: Tree) -> None:
    tree.write("d/x.lua", "one")
    tree.follow("a.lua")
    few = tree.watcher.status()["watches"]
    tree.follow("d/x.lua", "d/y.lua", "e/f/z.lua")
    tree.unfollow("d/x.lua", "d/y.lua", "e/f/z.lua")
    assert tree.watcher.status()["watches"] == few
    tree.unfollow("a.lua")
    assert tree.watcher.status() == {
        "paths": 0,
        "watches": 0,
        "overflows": 0,
        "polling": [],
    }


def test_events_of_a_watch_that_was_given_up_mean_nothing(tree: Tree) -> None:
    tree.write("d/x.lua", "one")
    tree.follow("d/x.lua")
    (tree.root / "d/x.lua").write_text("two")
    tree.unfollow("d/x.lua")
    tree.follow("a.lua")
    assert not tree.hinted()
    tree.follow("d/x.lua")
    (tree.root / "d/x.lua").write_text("three")
    assert tree.changes() == {"d/x.lua": of("three")}


def test_names_that_are_no_utf8_are_followed(tree: Tree) -> None:
    path = os.fsencode(tree.root) + b"/\xff\xfe.lua"
    Path(os.fsdecode(path)).write_text("one")
    tree.watcher.follow((POOL, path), tree.sources.look(POOL, path).digest, tree.now)
    Path(os.fsdecode(path)).write_text("two")
    assert list(tree.changes().values()) == [of("two")]


def test_a_path_that_differs_from_what_is_expected_is_reported(tree: Tree) -> None:
    key = (POOL, tree.path("a.lua"))
    tree.watcher.follow(key, b"another content", tree.now)
    assert tree.changes() == {"a.lua": of("one")}


# ---- settling ------------------------------------------------------------------------


def test_one_change_is_acted_on_soon_and_several_when_they_rest(tree: Tree) -> None:
    for name in "bcd":
        tree.write(f"{name}.lua", "one")
    tree.follow("a.lua", "b.lua", "c.lua", "d.lua")
    replace_with(tree.root / "a.lua", "two")
    assert tree.hinted()
    assert tree.watcher.settles_at() == pytest.approx(tree.now + SETTLE_S * ALONE)
    tree.now += SETTLE_S / 10
    replace_with(tree.root / "b.lua", "two")
    assert tree.hinted()
    assert tree.watcher.settles_at() == pytest.approx(tree.now + SETTLE_S)
    tree.now += SETTLE_S / 2
    replace_with(tree.root / "c.lua", "two")
    assert tree.hinted()
    assert tree.watcher.settles_at() == pytest.approx(tree.now + SETTLE_S)
    assert set(tree.settled()) == {"a.lua", "b.lua", "c.lua"}
    assert tree.watcher.settles_at() is None


def test_changes_that_never_rest_are_acted_on_in_the_end(tree: Tree) -> None:
    tree.write("b.lua", "one")
    tree.follow("a.lua", "b.lua")
    start = tree.now
    while tree.now < start + 2 * SETTLE_S * LONGEST:
        replace_with(tree.root / "a.lua", f"at {tree.now}")
        replace_with(tree.root / "b.lua", f"at {tree.now}")
        assert tree.hinted()
        settles_at = tree.watcher.settles_at()
        assert settles_at is not None
        if settles_at <= tree.now:
            break
        tree.now += SETTLE_S / 2
    assert tree.now == pytest.approx(start + SETTLE_S * LONGEST, abs=SETTLE_S)


def test_a_deploy_of_a_thousand_files_is_one_batch(tree: Tree) -> None:
    names = [f"app/{i % 10}/f{i}.lua" for i in range(1000)]
    for name in names:
        tree.write(name, "one")
    tree.follow(*names)
    for name in names:
        replace_with(tree.root / name, "two!")
    assert tree.changes() == dict.fromkeys(names, of("two!"))
    assert tree.changes() == {}


def test_a_file_that_polling_finds_half_written_is_left_to_rest(tree: Tree) -> None:
    tree.follow("a.lua")
    tree.clock_ahead_s = 0.0
    with (tree.root / "a.lua").open("w") as file:
        file.write("half")
        file.flush()
        assert tree.polled() == {}
        tree.clock_ahead_s = 1.0
        assert tree.polled() == {"a.lua": of("half")}


def test_check_looks_at_once_at_a_path_a_directory_or_all(tree: Tree) -> None:
    tree.write("d/x.lua", "one")
    tree.write("d/y.lua", "one")
    tree.follow("a.lua", "d/x.lua", "d/y.lua")
    for name in ("a.lua", "d/x.lua", "d/y.lua"):
        tree.write(name, "two")
    assert [f.path for f in tree.watcher.check(tree.path("d/x.lua"))] == [
        tree.path("d/x.lua")
    ]
    assert [f.path for f in tree.watcher.check(tree.path("d"))] == [
        tree.path("d/y.lua")
    ]
    assert [f.path for f in tree.watcher.check(b"")] == [tree.path("a.lua")]
    assert tree.watcher.check(b"") == []
