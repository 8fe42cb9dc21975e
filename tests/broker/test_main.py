"""A broker that is started while another one still serves."""

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.__main__ import BESIDE, collides
from luafarm.process import children, rundir
from luafarm.process.pulse import SERVES
from tests.luafarm.farms import until

process = pytest.mark.process

ENDS_S = 20.0  # what does not end by then waits for the other one


@pytest.mark.parametrize(
    ("endpoint", "before"),
    [
        ("ipc:///run/a.sock", "ipc:///run/a.sock"),
        ("tcp://127.0.0.1:9", "tcp://127.0.0.1:9"),
        ("tcp://127.0.0.1:9", "tcp://*:9"),
        ("tcp://127.0.0.1:9", ""),
    ],
)
def test_an_endpoint_of_the_one_before_is_bound_after_its_end(
    endpoint: str, before: str
) -> None:
    assert collides(endpoint, before)


@pytest.mark.parametrize(
    ("endpoint", "before"),
    [
        ("ipc:///run/b.sock", "ipc:///run/a.sock"),
        ("tcp://127.0.0.1:8", "tcp://127.0.0.1:9"),
        ("tcp://127.0.0.1:*", "tcp://127.0.0.1:9"),
        ("tcp://127.0.0.1:9", "ipc:///run/a:9"),
    ],
)
def test_another_endpoint_is_bound_at_once(endpoint: str, before: str) -> None:
    assert not collides(endpoint, before)


class Beside:
    """A broker beside the one whose part this test plays."""

    def __init__(self, place: Path, *lines: str) -> None:
        config = place / "luafarm.toml"
        (place / "root").mkdir()
        base = f'[paths]\nrun = "{place}"\n[pool.web]\nroot = ["{place}/root"]\n'
        config.write_text("\n".join([base, *lines]))
        started = children.start_watched("broker", ["--config", str(config), BESIDE])
        self.child, self.pulse = started.child, started.pulse
        self.said = b""

    def has_said(self, times: int) -> bool:
        """Return whether it has said so often that it serves."""
        assert self.child.poll() is None, "it has ended"
        with contextlib.suppress(BlockingIOError):
            self.said += os.read(self.pulse, 1000)
        return self.said.count(SERVES) == times

    def ended(self) -> int:
        """Return its exit code; all that it said is in `said`."""
        until(lambda: self.child.poll() is not None, "it ends", ENDS_S)
        code = self.child.wait()
        self.said += os.read(self.pulse, 1000)
        return code


@contextlib.contextmanager
def beside(place: Path, *lines: str) -> Iterator[Beside]:
    broker = Beside(place, *lines)
    try:
        yield broker
    finally:
        broker.child.kill()
        broker.child.wait()
        os.close(broker.pulse)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    (tmp_path / "h").mkdir(mode=0o700)
    return tmp_path


@contextlib.contextmanager
def held(place: Path, noted: str) -> Iterator[None]:
    claim = rundir.Claim(place, "broker")
    claim.note(noted)
    try:
        yield
    finally:
        claim.release()


def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


@process
def test_one_whose_endpoint_somebody_has_ends_before_it_says_that_it_could_serve(
    place: Path,
) -> None:
    with listening() as taken, held(place, "tcp://127.0.0.1:1"):
        endpoint = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with beside(place, "[broker]", f'endpoint = "{endpoint}"') as broker:
            assert broker.ended() == 2
            assert SERVES not in broker.said


@process
@pytest.mark.parametrize(
    "lines",
    [
        ("[broker]", 'endpoint = "tcp://192.0.2.1:4711"'),
        ("[security]", 'keys = "/no/such"', "[vmhost]", 'endpoint = "tcp://127.0.0.1"'),
        pytest.param(
            ("[security]", 'user = "nosuchuser"'),
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root changes"),
        ),
    ],
)
def test_one_that_could_not_serve_ends_before_it_says_that_it_could(
    place: Path, lines: tuple[str, ...]
) -> None:
    with held(place, "tcp://192.0.2.1:4711"), beside(place, *lines) as broker:
        assert broker.ended() == 2
        assert SERVES not in broker.said


@process
def test_one_takes_the_place_and_the_endpoint_of_the_one_before(place: Path) -> None:
    with listening() as taken:
        endpoint = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        claim = rundir.Claim(place, "broker")
        claim.note(endpoint)
        with beside(place, "[broker]", f'endpoint = "{endpoint}"') as broker:
            until(lambda: broker.has_said(1), "it could serve")
            taken.close()
            claim.release()
            until(lambda: broker.has_said(2), "it serves")
            other = rundir.Claim(place, "broker", later=True)
            assert other.noted() == endpoint
            other.release()
            broker.child.send_signal(signal.SIGTERM)
            assert broker.ended() == 0
