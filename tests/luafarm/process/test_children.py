"""Processes that cannot outlive their parent."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from luafarm.process import children
from tests.luafarm.farms import environment, until

HOME = Path(children.__file__).parents[2]

PARENT = """
import sys, time
from luafarm.process import children
child = children.start("{module}", [{argument!r}])
print(child.pid, flush=True)
time.sleep(600)
"""

CHILD = """
import os, signal, sys, time
from pathlib import Path
blocked = signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])
told = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
deaf = all(signal.getsignal(number) is signal.SIG_IGN for number in told)
same_group = os.getpgid(0) == os.getpgid(os.getppid())
Path(sys.argv[1]).write_text(f"{blocked} {deaf} {same_group}")
time.sleep(600)
"""


BEATER = """
import os, sys, time
from luafarm.process import pulse
mine, rest = pulse.take(sys.argv[1:])
assert rest == ["--set", "a.b=c"]
mine.beat(time.monotonic())
time.sleep(600)
"""


def state(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return ""


def is_alive(pid: int) -> bool:
    return state(pid) not in {"Z", ""}


def parent_of_sleeper(place: Path) -> tuple["subprocess.Popen[bytes]", int, str]:
    """Start a parent whose child is place/sleeper.py; return what the child reports.

    Returns the parent, the child's pid, and the report.
    """
    report = place / "report"
    path = os.pathsep.join([str(HOME), str(place)])
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(module="sleeper", argument=str(report))],
        env={**environment(), "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert parent.stdout is not None
    with parent.stdout:
        pid = int(parent.stdout.readline())
    until(lambda: report.exists() and report.read_text() != "", "the child runs")
    return parent, pid, report.read_text()


@pytest.mark.process
def test_a_child_dies_with_its_parent_and_leaves_ctrl_c_to_it(tmp_path: Path) -> None:
    (tmp_path / "sleeper.py").write_text(CHILD)
    parent, pid, report = parent_of_sleeper(tmp_path)
    assert report == "True True True"
    os.kill(pid, signal.SIGINT)
    assert is_alive(pid)
    parent.kill()
    parent.wait()
    until(lambda: not is_alive(pid), "the child is gone")


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
def test_what_a_child_is_told_before_it_listens_does_not_end_it(
    tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "sleeper.py").write_text(CHILD)
    parent, pid, _ = parent_of_sleeper(tmp_path)
    os.kill(pid, number)
    os.kill(pid, signal.SIGSTOP)  # stopped: whatever came before has been delivered
    until(lambda: state(pid) in {"T", "Z", ""}, "the child has taken the signals")
    assert is_alive(pid)
    parent.kill()
    parent.wait()


@pytest.mark.process
def test_a_watched_child_says_by_its_pipe_that_it_lives_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "beater.py").write_text(BEATER)
    path = os.pathsep.join([str(HOME), str(tmp_path)])
    monkeypatch.setenv("PYTHONPATH", path)
    started = children.start_watched("beater", ["--set", "a.b=c"])
    os.set_blocking(started.pulse, True)
    try:
        assert os.read(started.pulse, 100) == b"."
        started.child.kill()
        assert os.read(started.pulse, 100) == b""
    finally:
        os.close(started.pulse)
        started.child.kill()
        started.child.wait()


@pytest.mark.process
def test_a_module_in_the_current_directory_does_not_run_in_place_of_ours(
    tmp_path: Path,
) -> None:
    (tmp_path / "broker.py").write_text("print('not ours')\n")
    command = children.command("broker", ["--set", "front.queue=none"])
    done = subprocess.run(
        command, env=environment(), cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 2
    assert done.stdout == b""


@pytest.mark.process
@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives up root")
def test_a_child_that_gives_up_root_still_dies_with_its_parent(tmp_path: Path) -> None:
    (tmp_path / "sleeper.py").write_text(
        "import sys, time\n"
        "from pathlib import Path\n"
        "from luafarm.process import privileges\n"
        "from luafarm.config.settings import Security\n"
        "report = Path(sys.argv[1]).open('w')\n"
        "dropped = privileges.drop(Security(user='nobody'))\n"
        "print(dropped, *Path('/proc/self/status').read_text().split('Uid:')[1]"
        ".split()[:4], file=report, flush=True)\n"
        "time.sleep(600)\n"
    )
    parent, pid, report = parent_of_sleeper(tmp_path)
    dropped, *uids = report.split()
    assert dropped == "True"
    assert len(set(uids)) == 1
    assert uids[0] != "0"
    parent.kill()
    parent.wait()
    until(lambda: not is_alive(pid), "the child is gone")


@pytest.mark.process
def test_the_exit_code_of_a_child_is_known_although_sigchld_was_ignored(
    tmp_path: Path,
) -> None:
    (tmp_path / "ender.py").write_text("import sys\nsys.exit(7)\n")
    path = os.pathsep.join([str(HOME), str(tmp_path)])
    parent = (
        "import signal, sys\n"
        "from luafarm.process import children\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # as inherited from a starter\n"
        "print(children.start('ender', []).wait())\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", parent],
        env={**environment(), "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout == "7\n"
