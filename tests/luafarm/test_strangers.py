"""Which files strangers could have written, by owner, mode and the way to them."""

import os
import pwd
import stat
from pathlib import Path

import inotify_simple
import pytest

from luafarm import strangers
from luafarm.strangers import Circle, StrangerError

STRANGER = 4711
AS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not AS_ROOT, reason="only root can give files away")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Give a directory that only its owner may write."""
    made = tmp_path / "place"
    made.mkdir(mode=0o755)
    made.chmod(0o755)
    return made


def written(path: Path, mode: int = 0o644) -> Path:
    path.write_text("text")
    path.chmod(mode)
    return path


def content(path: Path) -> bytes:
    with strangers.open_found(path, strangers.own_circle()) as stream:
        return stream.read()


def refusal(path: Path) -> str:
    with pytest.raises(StrangerError) as caught:
        content(path)
    return str(caught.value).replace(str(path.parent), "DIR")


def me() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def test_what_is_ours_alone_is_read(place: Path) -> None:
    assert content(written(place / "f")) == b"text"
    assert content(written(place / "g", 0o600)) == b"text"


def test_what_others_may_write_is_refused_with_owner_and_mode(place: Path) -> None:
    line = refusal(written(place / "f", 0o646))
    assert line.startswith(f"DIR/f may be written by others ({me()}:")
    assert line.endswith(", mode 0646)")


@pytest.mark.parametrize("mode", [0o757, 0o1777])
def test_a_directory_that_others_may_write_is_refused_even_if_sticky(
    place: Path, mode: int
) -> None:
    written(place / "f")
    place.chmod(mode)
    assert "DIR may be written by others" in refusal(place / "f")


@needs_root
def test_a_file_of_a_stranger_is_refused_with_owner_and_mode(place: Path) -> None:
    os.chown(written(place / "f"), STRANGER, -1)
    assert refusal(place / "f") == "DIR/f belongs to uid 4711 (mode 0644)"


@needs_root
def test_a_directory_of_a_stranger_is_refused(place: Path) -> None:
    written(place / "f")
    os.chown(place, STRANGER, -1)
    assert refusal(place / "f") == "DIR belongs to uid 4711 (mode 0755)"


@needs_root
def test_a_group_may_write_when_nobody_else_is_in_it(place: Path) -> None:
    file = written(place / "f", 0o664)
    os.chown(file, 0, 0)
    assert content(file) == b"text"
    os.chown(file, 0, pwd.getpwnam("nobody").pw_gid)
    assert "may be written by others (root:nogroup, mode 0664)" in refusal(file)
    os.chown(file, 0, STRANGER)
    assert "(root:gid 4711, mode 0664)" in refusal(file)


@needs_root
def test_a_group_that_is_named_may_write(place: Path) -> None:
    file = written(place / "f", 0o664)
    os.chown(file, 0, STRANGER)
    circle = Circle(frozenset({0}), frozenset({STRANGER}))
    assert strangers.fault(file, file.stat(), circle) == ""
    assert strangers.fault(file, file.stat(), Circle(frozenset({0}))) != ""


def test_a_link_is_followed_when_both_ends_are_ours(place: Path) -> None:
    (place / "a").mkdir(mode=0o755)
    written(place / "a" / "target")
    (place / "link").symlink_to("a/target")
    assert content(place / "link") == b"text"


def test_a_link_to_where_others_may_write_is_refused(place: Path) -> None:
    (place / "a").mkdir()
    written(place / "a" / "target")
    (place / "a").chmod(0o777)
    (place / "link").symlink_to("a/target")
    assert "DIR/a may be written by others" in refusal(place / "link")


def test_a_link_from_where_others_may_write_is_refused(place: Path) -> None:
    written(place / "target")
    (place / "a").mkdir()
    (place / "a" / "link").symlink_to("../target")
    (place / "a").chmod(0o777)
    assert "may be written by others" in refusal(place / "a" / "link")


def test_links_without_an_end_are_an_error(place: Path) -> None:
    (place / "link").symlink_to("link")
    with pytest.raises(OSError, match="Too many levels"):
        content(place / "link")


def test_what_is_not_there_is_not_found(place: Path) -> None:
    with pytest.raises(FileNotFoundError):
        content(place / "f")
    (place / "link").symlink_to("nosuch")
    with pytest.raises(FileNotFoundError):
        content(place / "link")


def test_a_pipe_or_a_directory_in_its_place_is_refused_and_waits_for_nobody(
    place: Path,
) -> None:
    os.mkfifo(place / "pipe")
    assert refusal(place / "pipe") == "DIR/pipe is no regular file"
    (place / "d").mkdir()
    assert refusal(place / "d") == "DIR/d is no regular file"


@needs_root
def test_nothing_of_a_stranger_is_opened(place: Path) -> None:
    written(place / "f")
    os.chown(place, STRANGER, -1)
    with inotify_simple.INotify() as opened:
        opened.add_watch(place, inotify_simple.flags.OPEN)
        assert "belongs to uid 4711" in refusal(place / "f")
        assert opened.read(timeout=0) == []
        (place / "f").read_text()
        assert [event.name for event in opened.read(timeout=0)] == ["f"]


def test_a_secret_that_others_can_read_is_refused(place: Path) -> None:
    circle = strangers.own_circle()
    assert strangers.read(written(place / "f", 0o600), circle, is_secret=True)
    for mode in (0o640, 0o604):
        (place / "f").chmod(mode)
        with pytest.raises(StrangerError, match=f"others can read it .mode {mode:04o}"):
            strangers.read(place / "f", circle, is_secret=True)


# ---- the way to a file -------------------------------------------------------------


def test_the_way_is_safe_through_a_sticky_directory(place: Path) -> None:
    (place / "shared" / "mine").mkdir(parents=True)
    (place / "shared").chmod(0o1777)
    strangers.check(place / "shared" / "mine", strangers.own_circle())


def test_the_way_is_not_safe_where_others_may_exchange_a_directory(
    place: Path,
) -> None:
    (place / "shared" / "mine").mkdir(parents=True)
    (place / "shared").chmod(0o777)
    with pytest.raises(StrangerError, match="shared may be written by others"):
        strangers.check(place / "shared" / "mine", strangers.own_circle())


def test_the_way_is_not_safe_through_a_link_that_others_may_exchange(
    place: Path,
) -> None:
    (place / "shared").mkdir()
    (place / "mine").mkdir()
    (place / "shared" / "link").symlink_to("../mine")
    (place / "shared").chmod(0o777)
    with pytest.raises(StrangerError, match="shared may be written by others"):
        strangers.check(place / "shared" / "link", strangers.own_circle())


def test_a_target_in_which_others_may_make_files_is_not_safe(place: Path) -> None:
    place.chmod(0o1777)
    with pytest.raises(StrangerError, match="may be written by others"):
        strangers.check(place, strangers.own_circle())


def test_an_access_list_counts_as_others(place: Path) -> None:
    file = written(place / "f", 0o664)
    os.chown(file, -1, os.getegid())
    circle = Circle(strangers.own_circle().uids, frozenset({os.getegid()}))
    assert strangers.fault(file, file.stat(), circle) == ""
    # u::rw- u:4711:rw- g::r-- m::rw- o::r--, as setfacl writes it
    entries = [(1, 6, -1), (2, 6, STRANGER), (4, 4, -1), (16, 6, -1), (32, 4, -1)]
    data = (2).to_bytes(4, "little") + b"".join(
        tag.to_bytes(2, "little")
        + permissions.to_bytes(2, "little")
        + (who & 0xFFFFFFFF).to_bytes(4, "little")
        for tag, permissions, who in entries
    )
    try:
        os.setxattr(file, "system.posix_acl_access", data)
    except OSError:
        pytest.skip("no access lists on this file system")
    assert stat.S_IMODE(file.stat().st_mode) == 0o664
    assert strangers.fault(file, file.stat(), circle) != ""
