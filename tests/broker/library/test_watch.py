"""Changes on a real file system: inotify gives the hint, the file is the truth.

One test for each pitfall of inotify, and for the ways in which editors, tools and
deploys write files. Events are queued by the kernel before the call that causes them
returns, so nothing here waits. Of the tests below, and in test_watch_silent (*):

    a watch on a file dies with a replace  every_way_of_writing_a_file_is_noticed
    editors: vim, emacs, sed, rsync, git   the same; git_itself
    a deploy by a symlink                  a_flipped_symlink, ln_sfn, chains_of_symlinks
    new nested directories                 no_file_in_new_nested_directories_is_missed
    overflow of the queue                  an_overflow_of_the_queue*, _of_a_tiny_queue*
    limit of watches (ENOSPC)              beyond_the_watch_limit*, at_the_watch_limit*
    limit of instances (EMFILE)            without_any_inotify_instance*
    a renamed ancestor                     a_renamed_ancestor*, the_root_itself_may_go
    moved and swapped directories          a_moved_directory, two_directories_swapped
    hard links                             a_write_through_another_hard_link*
    mmap                                   every_way_of_writing[mapped]
    bind mounts                            a_bind_mount_over*, a_write_through_a_bind*
    network file systems                   on_a_network_file_system*, told_by_statfs*
    a replace that keeps mtime and size    a_replace_that_keeps_size_and_mtime
    half-written files                     a_file_that_is_still_open, _half_written
    stale events, descriptors used again   events_of_a_watch_that_was_given_up
    "I saved, then reloaded"               check_looks_at_once, test_reload
    rapid creation and deletion            a_file_that_comes_and_goes_rapidly
    deleted and made again                 deleted_and_created_again, a_deleted_tree
    modules and data files                 test_renewal, test_changes
"""

import mmap
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from broker.library.hints import ALONE, LONGEST, PAUSE
from tests.broker.library.tree import (
    GONE,
    POLL_S,
    POOL,
    SETTLE_S,
    Tree,
    of,
    replace_with,
)

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


def vim_itself(path: Path) -> None:
    if shutil.which("vim") is None:
        pytest.skip("vim is not installed")
    command = [
        "vim",
        "-es",
        "-u",
        "NONE",
        "-c",
        "%s/.*/two/",
        "-c",
        "set noeol nofixeol",
    ]
    subprocess.run([*command, "-c", "wq", path], check=True, capture_output=True)


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
    vim_itself,
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


def test_a_file_that_comes_and_goes_rapidly_ends_as_it_is(tree: Tree) -> None:
    tree.follow("a.lua", "late.lua")
    path = tree.root / "late.lua"
    for turn in range(200):
        path.write_text(f"turn {turn}")
        if turn % 50 == 49:
            assert tree.changes() == {"late.lua": of(f"turn {turn}")}
        path.unlink()
    assert tree.changes() == {"late.lua": GONE}
    for turn in range(200):
        path.write_text(f"turn {turn}")
        path.rename(tree.root / "a.lua")
    assert tree.changes() == {"a.lua": of("turn 199")}


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_git_itself_changes_files_in_a_way_that_is_noticed(tree: Tree) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(
            ["git", *identity, *arguments],
            cwd=tree.root,
            check=True,
            capture_output=True,
        )

    tree.write("lib/m.lua", "one")
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "-m", "one")
    tree.write("a.lua", "two")
    (tree.root / "lib/m.lua").unlink()
    tree.write("lib/n.lua", "two")
    git("add", ".")
    git("commit", "--quiet", "-m", "two")
    tree.follow("a.lua", "lib/m.lua", "lib/n.lua")
    git("checkout", "--quiet", "HEAD~1")
    one = {"a.lua": of("one"), "lib/m.lua": of("one"), "lib/n.lua": GONE}
    assert tree.changes() == one
    git("checkout", "--quiet", "-")
    two = {"a.lua": of("two"), "lib/m.lua": GONE, "lib/n.lua": of("two")}
    assert tree.changes() == two


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
        "barriers": 0,
        "places": 0,
        "unfinished": 0,
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
    assert tree.watcher.hints.settles_at() == pytest.approx(tree.now + SETTLE_S * ALONE)
    tree.now += SETTLE_S / 10
    replace_with(tree.root / "b.lua", "two")
    assert tree.hinted()
    assert tree.watcher.hints.settles_at() == pytest.approx(tree.now + SETTLE_S)
    tree.now += SETTLE_S / 2
    replace_with(tree.root / "c.lua", "two")
    assert tree.hinted()
    assert tree.watcher.hints.settles_at() == pytest.approx(tree.now + SETTLE_S)
    assert set(tree.settled()) == {"a.lua", "b.lua", "c.lua"}
    assert tree.watcher.hints.settles_at() is None


def test_a_part_of_a_script_waits_for_others_and_a_symlink_does_not(
    tmp_path: Path,
) -> None:
    for n in (1, 2):
        (tmp_path / f"{n}").mkdir()
        (tmp_path / f"{n}/part.lua").write_text(f"release {n}")
    (tmp_path / "current").symlink_to("1")
    tree = Tree(tmp_path, is_single=lambda _: False)
    tree.follow("current/part.lua")
    replace_with(tmp_path / "1/part.lua", "edited")
    assert tree.hinted()
    assert tree.watcher.hints.settles_at() == pytest.approx(tree.now + SETTLE_S)
    assert tree.watcher.hints.is_gathering()
    assert tree.changes() == {"current/part.lua": of("edited")}
    flip(tmp_path / "current", "2")
    assert tree.hinted()
    assert tree.watcher.hints.settles_at() == pytest.approx(tree.now + SETTLE_S * ALONE)
    assert not tree.watcher.hints.is_gathering()
    tree.close()


def test_files_that_nobody_uses_yet_belong_to_the_same_deploy(tree: Tree) -> None:
    tree.write("b.lua", "one")
    tree.follow("a.lua", "b.lua")
    replace_with(tree.root / "unused.lua", "two")
    assert not tree.hinted()
    replace_with(tree.root / "a.lua", "two")
    replace_with(tree.root / "b.lua", "two")
    assert tree.hinted()
    tree.now += SETTLE_S / 2
    replace_with(tree.root / "unused.lua", "three")
    assert tree.hinted()
    assert tree.watcher.hints.settles_at() == pytest.approx(tree.now + SETTLE_S)


def test_what_has_come_slowly_may_pause_for_longer(tree: Tree) -> None:
    tree.write("b.lua", "one")
    tree.follow("a.lua", "b.lua")
    for step in range(20):
        name = "ab"[step % 2]
        replace_with(tree.root / f"{name}.lua", f"at {step}")
        assert tree.hinted()
        tree.now += SETTLE_S / 2
    tree.now -= SETTLE_S / 2
    quiet_s = SETTLE_S / 2 * 19 * PAUSE
    assert quiet_s > SETTLE_S
    assert tree.watcher.hints.settles_at() == pytest.approx(tree.now + quiet_s)


def test_polling_does_not_put_off_what_rests(tree: Tree) -> None:
    tree.write("b.lua", "one")
    tree.follow("a.lua", "b.lua")
    start = tree.now
    while tree.now - start < 2 * POLL_S:  # from then on it rests for longer than a poll
        for name in "ab":
            replace_with(tree.root / f"{name}.lua", f"at {tree.now}")
        assert tree.hinted()
        tree.now += SETTLE_S
    due = tree.watcher.hints.settles_at()
    assert due is not None
    assert tree.now + POLL_S / 2 < due < start + SETTLE_S * LONGEST
    tree.now = (tree.now + due) / 2
    tree.watcher.poll(tree.now)
    assert tree.watcher.hints.settles_at() == due
    assert set(tree.changes()) == {"a.lua", "b.lua"}


def test_changes_that_never_rest_are_acted_on_in_the_end(tree: Tree) -> None:
    tree.write("b.lua", "one")
    tree.follow("a.lua", "b.lua")
    start = tree.now
    while tree.now < start + 2 * SETTLE_S * LONGEST:
        replace_with(tree.root / "a.lua", f"at {tree.now}")
        replace_with(tree.root / "b.lua", f"at {tree.now}")
        assert tree.hinted()
        settles_at = tree.watcher.hints.settles_at()
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


def test_a_path_is_meant_by_its_real_name_as_well(releases: Tree) -> None:
    releases.follow("a.lua")
    key = (POOL, releases.path("a.lua"))
    real = releases.root.resolve()
    for scope in (b"", key[1], os.fsencode(real / "a.lua"), os.fsencode(real)):
        assert releases.watcher.meant(scope) == [key]
    assert releases.watcher.meant(os.fsencode(real.parent.parent / "3")) == []


def test_check_looks_at_once_at_a_path_a_directory_or_all(tree: Tree) -> None:
    tree.write("d/x.lua", "one")
    tree.write("d/y.lua", "one")
    tree.follow("a.lua", "d/x.lua", "d/y.lua")
    for name in ("a.lua", "d/x.lua", "d/y.lua"):
        tree.write(name, "two")
    assert [
        f.path for f in tree.watcher.check(tree.path("d/x.lua"), tree.now).files
    ] == [tree.path("d/x.lua")]
    assert [f.path for f in tree.watcher.check(tree.path("d"), tree.now).files] == [
        tree.path("d/y.lua")
    ]
    assert [f.path for f in tree.watcher.check(b"", tree.now).files] == [
        tree.path("a.lua")
    ]
    assert not tree.watcher.check(b"", tree.now)
