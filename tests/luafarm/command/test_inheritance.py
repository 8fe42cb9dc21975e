"""What a parent leaves to itself, and the trial of what it would become."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from luafarm import again
from luafarm.command import inheritance, trial
from luafarm.command.inheritance import Inheritance, Role
from luafarm.command.trial import Trial
from luafarm.config.settings import PoolSettings, Settings
from luafarm.process.sockets import Kept
from tests.luafarm.farms import environment, until


def left(*, fds: tuple[int, int], **changes: object) -> Inheritance:
    values: dict[str, object] = {
        "settings": Settings(pool={"web": PoolSettings(root=("/srv",))}),
        "arguments": ("--set", "front.queue=7"),
        "file": "",
        "claims": {"farm": fds[0]},
        "listeners": (Kept("127.0.0.1:9000", fds[1]),),
        "handover": None,
        "roles": (),
        "is_ready": True,
        **changes,
    }
    return Inheritance(**values)  # type: ignore[arg-type]


@pytest.fixture
def pipe() -> "tuple[int, int]":
    return os.pipe()


def test_what_is_left_is_found_until_it_is_settled_and_kept_from_children_then(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for fd in pipe:
        os.set_inheritable(fd, True)
    mine = left(
        fds=pipe, roles=(Role("vmhost", 7, pipe[0], 99, True, True, 1.5, 2.5, "7:9"),)
    )
    with inheritance.environment(mine) as variables:
        number = os.dup(int(variables[again.VARIABLE]))
    monkeypatch.setenv(again.VARIABLE, str(number))
    found = inheritance.take()
    assert found == msgspec.structs.replace(mine, source=number) == inheritance.take()
    assert all(os.get_inheritable(fd) for fd in pipe)
    inheritance.settle(found)
    assert inheritance.take() is None
    assert not any(os.get_inheritable(fd) for fd in pipe)
    for fd in pipe:
        os.close(fd)


def test_without_an_inheritance_there_is_none() -> None:
    assert inheritance.take() is None


AGAIN = """
import os, signal, sys
from pathlib import Path
from luafarm.command import inheritance
from luafarm.command.inheritance import Inheritance
from luafarm.config.settings import Settings

report = Path(sys.argv[1])
found = inheritance.take()
if found is None:
    read, write = os.pipe()
    os.write(write, b"kept")
    claims = {"farm": read, "x": write}
    arguments = ("x" * 1_000_000,)  # more than a variable of the environment may have
    mine = Inheritance(Settings(), arguments, "", claims, (), None, (), True)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(9))

    def is_wanted():
        return not os.kill(os.getpid(), signal.SIGTERM)  # it waits by now

    inheritance.leave_to_itself(mine, {"NOTIFY_SOCKET": "/notify"}, is_wanted)
blocked = sorted(signal.pthread_sigmask(signal.SIG_BLOCK, []))
said = os.read(found.claims["farm"], 10).decode()
report.write_text(f"{os.getpid()} {said} {os.environ['NOTIFY_SOCKET']} {blocked}")
"""


@pytest.mark.process
def test_a_process_goes_on_as_itself_with_signals_that_wait(tmp_path: Path) -> None:
    program = tmp_path / "again.py"
    program.write_text(AGAIN)
    report = tmp_path / "report"
    started = subprocess.Popen(
        [sys.executable, str(program), str(report)], env=environment()
    )
    assert started.wait() == 0
    pid, said, notify, blocked = report.read_text().split(maxsplit=3)
    assert (int(pid), said, notify) == (started.pid, "kept", "/notify")
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        assert f"<Signals.{number.name}: {number.value}>" in blocked


LEAVES = """
import sys
from pathlib import Path
from luafarm.command import inheritance
from luafarm.command.inheritance import Inheritance
from luafarm.config.settings import Settings

Path(sys.argv[0]).write_text("import luafarm\\nraise ImportError('half of it')\\n")
mine = Inheritance(Settings(), ("kept",), "", {}, (), None, (), True)
inheritance.leave_to_itself(mine, {}, lambda: True)
"""
SERVES = """
import signal, sys
from luafarm.command import inheritance

found = inheritance.take()
inheritance.settle(found)
print(*found.arguments, inheritance.take())
"""


@pytest.mark.process
@pytest.mark.parametrize("is_mended", [True, False])
def test_a_program_that_breaks_after_its_trial_is_tried_until_it_is_whole(
    tmp_path: Path, *, is_mended: bool
) -> None:
    program = tmp_path / "program.py"
    program.write_text(LEAVES)
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    name = f"luafarm-{os.getpid()}-{is_mended}"
    manager.bind(f"\0{name}")
    started = subprocess.Popen(
        [sys.executable, str(program)],
        env={**environment(), "NOTIFY_SOCKET": f"@{name}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert started.stderr is not None
    said = started.stderr.readline()
    assert "ImportError: half of it" in said
    assert str(program) in said
    assert manager.recv(100) == b"WATCHDOG=1"
    manager.close()
    if is_mended:
        whole = tmp_path / "whole.py"
        whole.write_text(SERVES)
        whole.rename(program)
    else:
        started.terminate()
    out, more = started.communicate()
    assert more == ""  # the same is said once
    assert (started.returncode, out) == ((0, "kept None\n") if is_mended else (1, ""))


def test_what_cannot_be_executed_goes_on_as_it_was(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with pytest.raises(FileNotFoundError):
        inheritance.leave_to_itself(left(fds=pipe), {}, lambda: True)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
    for fd in pipe:
        assert not os.get_inheritable(fd)
        os.close(fd)


def test_a_signal_that_has_come_is_looked_at_first(pipe: tuple[int, int]) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    inheritance.leave_to_itself(left(fds=pipe), {}, lambda: False)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
    for fd in pipe:
        assert not os.get_inheritable(fd)
        os.close(fd)


# ---- trials --------------------------------------------------------------------------


def tried(
    monkeypatch: pytest.MonkeyPatch, pipe: tuple[int, int], program: str
) -> Trial:
    monkeypatch.setattr(sys, "orig_argv", [sys.executable, "-c", program])
    return Trial(left(fds=pipe))


def verdict(found: Trial) -> str:
    said: list[str] = []

    def is_known() -> bool:
        text = found.verdict(time.monotonic())
        said.extend([] if text is None else [text])
        return bool(said)

    until(is_known, "a verdict")
    return said[0]


@pytest.mark.process
def test_a_program_that_could_serve_is_told_that_it_is_tried(
    monkeypatch: pytest.MonkeyPatch, pipe: tuple[int, int]
) -> None:
    program = (
        "from luafarm.command import inheritance\nassert inheritance.take().is_trial\n"
    )
    assert verdict(tried(monkeypatch, pipe, program)) == ""


@pytest.mark.process
@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("raise SystemExit('first\\nlast line')", "last line"),
        ("raise SystemExit(3)", "exit code 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "exit code -9"),
        (
            "1 / 0",
            'ZeroDivisionError: division by zero; File "<string>", line 1, in <module>',
        ),
        ("import sys; sys.exit('x' * 100000)", "x" * 4095),
    ],
)
def test_a_program_that_could_not_serve_says_why(
    monkeypatch: pytest.MonkeyPatch, pipe: tuple[int, int], program: str, why: str
) -> None:
    assert verdict(tried(monkeypatch, pipe, program)) == why


@pytest.mark.process
def test_what_a_trial_has_started_ends_with_it(
    monkeypatch: pytest.MonkeyPatch, pipe: tuple[int, int]
) -> None:
    read, write = os.pipe()
    os.set_inheritable(write, True)
    program = (
        "import subprocess, sys\n"
        "from luafarm.process import children\n"
        f"begins = 'import os, time; os.write({write}, bytes(1)); time.sleep(600)'\n"
        "subprocess.run([sys.executable, '-c', begins],"
        " preexec_fn=children.tie(), close_fds=False)\n"
    )
    found = tried(monkeypatch, pipe, program)
    os.close(write)
    assert os.read(read, 1) == bytes(1)  # it runs
    found.close()
    assert os.read(read, 1) == b""  # nobody has the other end
    os.close(read)


@pytest.mark.process
def test_a_program_that_says_nothing_is_given_up(
    monkeypatch: pytest.MonkeyPatch, pipe: tuple[int, int]
) -> None:
    found = tried(monkeypatch, pipe, "import time; time.sleep(600)")
    now = time.monotonic()
    assert found.verdict(now) is None
    assert "has not said in 30 s" in str(found.verdict(now + trial.PATIENCE_S + 1.0))


def test_the_json_of_an_inheritance_has_every_field(pipe: tuple[int, int]) -> None:
    mine = left(fds=pipe, handover=pipe)
    text = msgspec.json.encode(mine)
    assert msgspec.json.decode(text, type=Inheritance) == mine
    assert sorted(mine.descriptors()) == sorted([*pipe, *pipe])
    for fd in pipe:
        os.close(fd)
