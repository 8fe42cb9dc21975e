"""Log lines: their format, their file, and its reopening."""

import grp
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from luafarm.config.settings import Log
from luafarm.errors import SettingsError
from luafarm.process import logs

logger = logging.getLogger("luafarm.test")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Put the process's logging back as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    before = signal.getsignal(signal.SIGUSR1)
    yield
    for handler in list(root.handlers):
        if handler not in handlers:
            root.removeHandler(handler)
            handler.close()
    for handler in handlers:
        if handler not in root.handlers:
            root.addHandler(handler)
    root.setLevel(level)
    logging.getLogger("luafarm").setLevel(logging.NOTSET)
    logging.raiseExceptions = True
    signal.signal(signal.SIGUSR1, before)


def test_a_line_has_time_title_level_and_text(tmp_path: Path) -> None:
    file = tmp_path / "x.log"
    logs.setup(Log(file=str(file)), "luafarm-broker")
    logger.info("host=%s is up", "h1")
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} luafarm-broker info host=h1 is up\n",
        file.read_text(),
    )


def test_nothing_that_is_logged_forges_a_line(tmp_path: Path) -> None:
    file = tmp_path / "x.log"
    logs.setup(Log(file=str(file)), "t")
    logger.warning("a\n2026-01-01 00:00:00.000 t error forged\x1b[2J")
    first, second = file.read_text().splitlines()
    assert first.endswith("t warning a")
    assert second == "\t2026-01-01 00:00:00.000 t error forged\\x1b[2J"


def test_a_traceback_is_indented(tmp_path: Path) -> None:
    file = tmp_path / "x.log"
    logs.setup(Log(file=str(file)), "t")
    try:
        raise ValueError("odd")
    except ValueError:
        logger.exception("failed")
    first, *rest = file.read_text().splitlines()
    assert first.endswith("error failed")
    assert all(line.startswith("\t") for line in rest)
    assert rest[-1] == "\tValueError: odd"


def test_the_level_decides_what_is_logged(tmp_path: Path) -> None:
    file = tmp_path / "x.log"
    logs.setup(Log(file=str(file), level="warning"), "t")
    logger.info("no")
    logger.warning("yes")
    assert file.read_text().count("\n") == 1


def test_text_that_is_no_unicode_is_logged(tmp_path: Path) -> None:
    file = tmp_path / "x.log"
    logs.setup(Log(file=str(file)), "t")
    logger.info("path=%s", os.fsdecode(b"/x\xff"))
    assert file.read_text().endswith("path=/x\\xdcff\n")


def test_usr1_goes_on_in_a_new_file(tmp_path: Path) -> None:
    file = tmp_path / "x.log"
    logs.setup(Log(file=str(file)), "t")
    logger.info("old")
    file.rename(tmp_path / "x.log.1")
    logger.info("still old")
    signal.raise_signal(signal.SIGUSR1)
    logger.info("new")
    assert (tmp_path / "x.log.1").read_text().count("old\n") == 2
    assert file.read_text().endswith("t info new\n")


LAST = """
import os, signal
from luafarm.config.settings import Log
from luafarm.process import logs

class Last:
    def __del__(self, kill=os.kill, pid=os.getpid(), number=signal.SIGUSR1):
        kill(pid, number)

logs.setup(Log(), "t")
last = Last()  # goes when the interpreter has given up its handlers
"""


def test_a_signal_that_comes_while_the_process_ends_kills_nobody() -> None:
    assert subprocess.run([sys.executable, "-c", LAST], check=False).returncode == 0


def test_a_file_that_cannot_be_reopened_is_kept(tmp_path: Path) -> None:
    directory = tmp_path / "d"
    directory.mkdir()
    logs.setup(Log(file=str(directory / "x.log")), "t")
    moved = directory.rename(tmp_path / "moved")
    signal.raise_signal(signal.SIGUSR1)
    logger.info("goes on")
    lines = (moved / "x.log").read_text().splitlines()
    assert "not reopened: No such file or directory" in lines[0]
    assert lines[1].endswith("goes on")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_that_is_made_belongs_to_the_user_of_the_roles(tmp_path: Path) -> None:
    file, other = tmp_path / "x.log", tmp_path / "other"
    logs.setup(Log(file=str(file)), "t", (4711, 4712))
    assert (file.stat().st_uid, file.stat().st_gid) == (4711, 4712)
    file.rename(tmp_path / "x.log.1")
    os.kill(os.getpid(), signal.SIGUSR1)
    logger.warning("after")
    assert (file.stat().st_uid, file.stat().st_gid) == (4711, 4712)
    assert "after" in file.read_text()
    # what was there already is nobody's to take, least of all by a link
    other.write_text("")
    file.unlink()
    file.symlink_to(other)
    os.kill(os.getpid(), signal.SIGUSR1)
    assert other.stat().st_uid == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_that_rotation_made_is_given_to_the_user_of_the_roles(
    tmp_path: Path,
) -> None:
    file = tmp_path / "x.log"
    logs.setup(Log(file=str(file)), "t", (4711, 4712))
    file.rename(tmp_path / "x.log.1")
    file.touch(0o640)
    signal.raise_signal(signal.SIGUSR1)
    assert (file.stat().st_uid, file.stat().st_gid) == (4711, 4712)
    logger.info("after")
    assert "after" in file.read_text()
    # one that has a second name, or another owner, is somebody's
    for owner in (0, 4713):
        file.unlink()
        file.touch(0o640)
        os.chown(file, owner, -1)
        if owner == 0:
            (tmp_path / "second").hardlink_to(file)
        signal.raise_signal(signal.SIGUSR1)
        assert file.stat().st_uid == owner


def test_a_file_that_cannot_be_opened_is_wrong_configuration() -> None:
    with pytest.raises(SettingsError, match=r"\[log\] file = .*: No such file"):
        logs.setup(Log(file="/no/such/x.log"), "t")


@pytest.mark.parametrize("is_on_the_way", [False, True])
def test_a_file_where_strangers_may_write_is_wrong_configuration(
    tmp_path: Path, *, is_on_the_way: bool
) -> None:
    open_to_all = tmp_path / "open"
    file = open_to_all / "own" / "x.log" if is_on_the_way else open_to_all / "x.log"
    file.parent.mkdir(parents=True)
    open_to_all.chmod(0o777)
    with pytest.raises(SettingsError, match=r"\[log\] file.*may be written by others"):
        logs.setup(Log(file=str(file)), "t")
    assert not file.exists()
    link = tmp_path / "link"
    link.symlink_to(file.parent)
    with pytest.raises(SettingsError, match="may be written by others"):
        logs.setup(Log(file=str(link / "x.log")), "t")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give directories away")
def test_the_directory_of_the_log_may_belong_to_the_user_of_the_roles(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "log"
    directory.mkdir()
    os.chown(directory, 4711, 4712)
    directory.chmod(0o755)
    with pytest.raises(SettingsError, match="belongs to"):
        logs.setup(Log(file=str(directory / "x.log")), "t")
    logs.setup(Log(file=str(directory / "x.log")), "t", (4711, 4712))
    os.chown(directory, 0, grp.getgrnam("adm").gr_gid)
    directory.chmod(0o775)  # as /var/log is on some systems
    logs.setup(Log(file=str(directory / "x.log")), "t")


def test_setting_up_again_replaces_the_first(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    logs.setup(Log(file=str(first)), "t")
    logs.setup(Log(file=str(second)), "t")
    logger.info("once")
    assert first.read_text() == ""
    assert second.read_text().count("once") == 1


def test_without_a_file_lines_go_to_standard_error(
    capfd: pytest.CaptureFixture[str],
) -> None:
    logs.setup(Log(), "t")
    logger.error("seen")
    assert capfd.readouterr().err.endswith("t error seen\n")


def test_how_many_lines_found_no_reader_is_told(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    heard = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    logs.setup(Log(file=str(fifo)), "t")
    tried = 10_000  # more than a pipe takes
    for _ in range(tried):
        logger.info("before")
    before = os.read(heard, 1 << 20)
    logger.info("after")
    after = os.read(heard, 1 << 20).decode()
    written = before.count(b"\n")
    assert f" t warning {tried - written} lines were left out: nobody read" in after
    assert after.endswith(" t info after\n")
    os.close(heard)


def test_a_fifo_that_nobody_reads_is_refused_as_a_log(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(SettingsError, match="No such device"):
        logs.setup(Log(file=str(fifo)), "t")


def test_a_trial_finds_what_setting_up_would_refuse_and_makes_nothing(
    tmp_path: Path,
) -> None:
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    (tmp_path / "loop").symlink_to("loop")
    for name in ("open/x.log", "fifo", "open", "loop"):
        log = Log(file=str(tmp_path / name))
        with pytest.raises(SettingsError) as refused:
            logs.setup(log, "t")
        reason = logs.refusal(log, is_beside=True)
        assert str(refused.value).endswith(f'": {reason}')
    for name in ("no/x.log", "link"):
        (tmp_path / "link").unlink(missing_ok=True)
        (tmp_path / "link").symlink_to("no/x.log")
        reason = logs.refusal(Log(file=str(tmp_path / name)))
        assert reason == f"the directory {tmp_path}/no is missing or not writable"


@pytest.mark.parametrize("name", ["x.log", "there.log", "link"])
def test_a_trial_leaves_a_log_that_would_do_as_it_is(tmp_path: Path, name: str) -> None:
    there = tmp_path / "there.log"
    there.write_text("before\n")
    (tmp_path / "link").symlink_to("made.log")
    before = there.stat()
    assert logs.refusal(Log(file=str(tmp_path / name))) == ""
    assert logs.refusal(Log(file=str(tmp_path / name)), (os.geteuid(), 4712)) == ""
    assert there.stat() == before
    assert {file.name for file in tmp_path.iterdir()} == {"link", "there.log"}


def test_a_look_at_a_fifo_ends_nobodys_reading(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    log = Log(file=str(fifo))
    heard = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    writing = os.open(fifo, os.O_WRONLY)
    assert logs.refusal(log, is_beside=True) == ""
    with pytest.raises(BlockingIOError):  # no end
        os.read(heard, 1)
    os.close(heard)
    assert "No such device" in logs.refusal(log, is_beside=True)
    # before a start nobody else writes: it would be the end for a reader
    assert logs.refusal(log) == ""
    os.close(writing)
