"""Questions of commands to the broker, answered by a socket of the test."""

import os
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
import zmq

from luafarm.command import asking, cli
from luafarm.config.settings import Broker, Paths, Security, Settings
from luafarm.errors import NoAnswerError
from luafarm.keys import curve
from luafarm.keys.zap import ZapHandler
from luafarm.names import Machine
from luafarm.wire import codec
from luafarm.wire.messages import (
    PROTOCOL,
    Hello,
    Message,
    Refused,
    Reload,
    Reloaded,
    Role,
    StatusIs,
    StatusWanted,
    Welcome,
)
from tests.vmhost.supervisor.supervised import NOBODY, environment, python_for_all

Answer = Callable[[Message], list[Message | bytes]]

SOON_S = 120.0


class FakeBroker(threading.Thread):
    """Answers each message as it is told to, until it is closed."""

    def __init__(self, endpoint: str, answer: Answer, keys: Path | None = None) -> None:
        super().__init__()
        self.heard: list[Message] = []
        self._answer = answer
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._zap: ZapHandler | None = None
        if keys is not None:
            own = curve.load(keys, "broker", Machine("m"))
            self._zap = ZapHandler(self._context, own.badges, Role.COMMAND)
            curve.serve(self._router, own.own)
        self._router.bind(endpoint)
        self.endpoint = cast("bytes", self._router.last_endpoint).decode()
        self._closing = threading.Event()
        self.start()

    def run(self) -> None:
        poller = zmq.Poller()
        poller.register(self._router, zmq.POLLIN)
        if self._zap is not None:
            poller.register(self._zap.socket, zmq.POLLIN)
        while not self._closing.is_set():
            ready = dict(poller.poll(20))
            if self._zap is not None and self._zap.socket in ready:
                self._zap.handle()
            if self._router in ready:
                self._hear()

    def _hear(self) -> None:
        peer, frame = self._router.recv_multipart()
        message = codec.decode(frame)
        self.heard.append(message)
        for answer in self._answer(message):
            said = answer if isinstance(answer, bytes) else codec.encode(answer)
            self._router.send_multipart([peer, said])

    def close(self) -> None:
        self._closing.set()
        self.join()
        if self._zap is not None:
            self._zap.close()
        self._router.close(linger=0)
        self._context.term()


Start = Callable[..., FakeBroker]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Give a way to start brokers that are closed when the test ends."""
    brokers: list[FakeBroker] = []

    def started(
        answer: Answer, endpoint: str = "", keys: Path | None = None
    ) -> FakeBroker:
        at = endpoint or f"ipc://{tmp_path}/broker.sock"
        brokers.append(FakeBroker(at, answer, keys))
        return brokers[-1]

    yield started
    for broker in brokers:
        broker.close()


def welcome(protocol: int = PROTOCOL) -> Welcome:
    return Welcome(protocol, Role.BROKER, "broker", 1)


def polite(*answers: Message | bytes) -> Answer:
    """Answer Hello with Welcome, and anything else with these."""
    return lambda message: [welcome()] if isinstance(message, Hello) else list(answers)


def test_the_status_is_what_the_broker_says(start: Start, tmp_path: Path) -> None:
    broker = start(polite(StatusIs(b"{}")))
    settings = Settings(paths=Paths(run=str(tmp_path)))
    assert asking.status(settings, SOON_S) == b"{}"
    hello, question = broker.heard
    assert isinstance(hello, Hello)
    assert hello.protocol == PROTOCOL
    assert hello.role is Role.COMMAND
    assert question == StatusWanted()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Reloaded(True, ""), ""),
        (Reloaded(False, "no such script"), "no such script"),
        (Reloaded(False, ""), "refused without a reason"),
    ],
)
def test_a_reload_tells_its_error(
    start: Start, tmp_path: Path, answer: Message, error: str
) -> None:
    broker = start(polite(answer))
    settings = Settings(paths=Paths(run=str(tmp_path)))
    assert asking.reload(settings, b"/x", SOON_S, wait=True) == error
    assert broker.heard[1] == Reload(b"/x", wait=True)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda _: [b"\xc1"], "what answers at ipc://.*: no msgpack message"),
        (lambda _: [welcome(PROTOCOL + 1)], "the broker speaks protocol"),
        (polite(Reloaded(True, "")), "the broker answered with Reloaded"),
    ],
    ids=["garbage", "another protocol", "another answer"],
)
def test_what_is_no_answer_is_an_error(
    start: Start, tmp_path: Path, answer: Answer, reason: str
) -> None:
    start(answer)
    settings = Settings(paths=Paths(run=str(tmp_path)))
    with pytest.raises(NoAnswerError, match=reason):
        asking.status(settings, SOON_S)


def test_silence_is_an_error_in_the_end(start: Start, tmp_path: Path) -> None:
    start(lambda _: [])
    settings = Settings(paths=Paths(run=str(tmp_path)))
    with pytest.raises(NoAnswerError, match="no broker answers at ipc://"):
        asking.status(settings, 0.1)


def test_a_reload_that_finds_no_broker_says_so_and_waits_for_it(
    start: Start, tmp_path: Path
) -> None:
    settings = Settings(paths=Paths(run=str(tmp_path)))
    told: list[str] = []

    def tell(text: str) -> None:
        told.append(text)
        start(polite(Reloaded(True, "")))

    assert asking.reload(settings, b"/x", SOON_S, wait=True, tell=tell) == ""
    assert told == [
        f"no broker answers at ipc://{tmp_path}/broker.sock; does the farm run? "
        f"Waiting for it for {SOON_S:g} s."
    ]


@pytest.mark.process
def test_who_may_not_enter_the_run_directory_is_told_so() -> None:
    # an ordinary user asks for the farm of somebody else
    with tempfile.TemporaryDirectory() as name:
        ask = (
            "import sys; from pathlib import Path; from luafarm.command import asking\n"
            "from luafarm.config.settings import Paths, Settings\n"
            "asking.status(Settings(paths=Paths(run=sys.argv[1])), 0.1)\n"
        )
        Path(name).chmod(0 if os.geteuid() else 0o700)
        done = subprocess.run(
            [python_for_all(), "-P", "-c", ask, name],
            env=environment(),
            user=None if os.geteuid() else NOBODY,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        Path(name).chmod(0o700)
    line = done.stderr.splitlines()[-1]
    assert line.endswith(
        f"the broker at ipc://{name}/broker.sock is out of reach here; ask as root or "
        "as the user of the farm"
    )


def test_a_broker_behind_curve_is_asked_with_the_commands_key(
    start: Start, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    curve.keygen(keys)
    broker = start(polite(StatusIs(b"{}")), "tcp://127.0.0.1:*", keys)
    settings = Settings(
        broker=Broker(endpoint=broker.endpoint), security=Security(keys=str(keys))
    )
    assert asking.status(settings, SOON_S) == b"{}"


def test_a_machine_without_a_commands_key_is_told_where_it_is_looked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "farm.toml"
    file.write_text(
        "[broker]\nendpoint = 'tcp://127.0.0.1:1'\n[security]\nkeys = 'none'\n"
        "[vmhost]\nmachine = 'box'\n"
    )
    assert cli.main(["status", "--config", str(file)]) == 2
    keys = tmp_path / "none"
    assert capsys.readouterr().err == (
        f'luafarm: configuration: [security] keys = "{keys}": {keys}/command.secret: '
        "No such file or directory; a machine from which the farm may be asked has "
        f"command.secret or command-box.secret (from {file})\n"
    )


def test_a_broker_behind_curve_does_not_answer_strangers(
    start: Start, tmp_path: Path
) -> None:
    keys, strange = tmp_path / "keys", tmp_path / "strange"
    curve.keygen(keys)
    curve.keygen(strange)
    (strange / "broker.public").write_bytes((keys / "broker.public").read_bytes())
    broker = start(polite(StatusIs(b"{}")), "tcp://127.0.0.1:*", keys)
    settings = Settings(
        broker=Broker(endpoint=broker.endpoint), security=Security(keys=str(strange))
    )
    with pytest.raises(NoAnswerError) as refused:
        asking.status(settings, 60.0)  # nobody waits so long
    key = (strange / "command.public").read_text().strip()
    assert str(refused.value) == (
        f"the broker at {broker.endpoint} does not let in the owner of "
        f"{strange}/command.secret, public key {key}"
    )
    assert broker.heard == []


def test_a_command_without_a_key_is_told_that_it_needs_one(
    start: Start, tmp_path: Path
) -> None:
    curve.keygen(tmp_path / "keys")
    broker = start(polite(StatusIs(b"{}")), "tcp://127.0.0.1:*", tmp_path / "keys")
    settings = Settings(broker=Broker(endpoint=broker.endpoint))
    with pytest.raises(NoAnswerError, match=r"\[security\] keys names none"):
        asking.status(settings, 60.0)


def test_a_command_that_knows_another_broker_is_told_so(
    start: Start, tmp_path: Path
) -> None:
    keys, strange = tmp_path / "keys", tmp_path / "strange"
    curve.keygen(keys)
    curve.keygen(strange)
    broker = start(polite(StatusIs(b"{}")), "tcp://127.0.0.1:*", keys)
    settings = Settings(
        broker=Broker(endpoint=broker.endpoint), security=Security(keys=str(strange))
    )
    with pytest.raises(NoAnswerError, match="has not the secret of the public"):
        asking.status(settings, 3.0)


def test_a_command_that_is_refused_says_why(start: Start) -> None:
    broker = start(lambda _: [Refused("fcgi.public is no key of a command")])
    settings = Settings(broker=Broker(endpoint=broker.endpoint))
    with pytest.raises(NoAnswerError, match=r"refuses: fcgi\.public is no key"):
        asking.status(settings, 60.0)


def test_another_broker_is_asked_as_well(start: Start, tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/broker.sock"
    settings = Settings(paths=Paths(run=str(tmp_path)))
    asked = threading.Event()

    def swallow(message: Message) -> list[Message | bytes]:
        if isinstance(message, Hello):
            return [welcome()]
        asked.set()
        return []

    def replace() -> None:
        asked.wait(SOON_S)
        first.close()
        start(polite(Reloaded(True, "")), endpoint)

    first = start(swallow, endpoint)
    replacing = threading.Thread(target=replace)
    replacing.start()
    assert asking.reload(settings, b"", SOON_S, wait=True) == ""
    replacing.join()
