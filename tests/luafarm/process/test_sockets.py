"""Listening sockets: where they come from, whose they are, and what is left of them."""

import contextlib
import itertools
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import daemon
from luafarm.config.settings import Front
from luafarm.errors import ListenError, SettingsError
from luafarm.process import sockets
from luafarm.process.sockets import Kept, Listening
from tests.luafarm.farms import directory

needs_ipv6 = pytest.mark.skipif(
    not socket.has_dualstack_ipv6(), reason="this machine has no IPv6"
)


def test_a_path_is_made_with_its_mode_and_removed_at_the_end() -> None:
    with directory() as place:
        path = place / "x.sock"
        listening = Listening(Front(listen=(f"unix:{path}",), listen_mode=0o620))
        assert stat.S_IMODE(path.stat().st_mode) == 0o620
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
        listening.close()
        assert not path.exists()


def test_a_path_that_somebody_else_has_taken_since_stays() -> None:
    with directory() as place:
        path = place / "x.sock"
        old = Listening(Front(listen=(f"unix:{path}",)))
        # in place of the old one, as another farm may do once it is left over
        other = Listening(Front(listen=(f"unix:{place}/y.sock",)))
        Path(place / "y.sock").rename(path)
        old.close()
        assert path.exists()
        other.close()


def test_a_socket_that_was_handed_in_stays_open_and_keeps_its_path() -> None:
    with directory() as place, socket.socket(socket.AF_UNIX) as handed:
        path = place / "x.sock"
        handed.bind(str(path))
        handed.listen()
        listening = Listening(Front(listen=(f"fd:{handed.fileno()}",)))
        assert listening.fastcgi[0].fileno() != handed.fileno()
        listening.close()
        assert path.exists()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_http_may_be_handed_in_as_well() -> None:
    with socket.create_server(("127.0.0.1", 0)) as handed:
        listening = Listening(Front(http=f"fd:{handed.fileno()}"))
        assert listening.http is not None
        assert listening.http.getsockname() == handed.getsockname()
        listening.close()


def test_what_was_opened_is_closed_when_a_later_one_cannot_be() -> None:
    with directory() as place, socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        front = Front(listen=(f"unix:{place}/x.sock", f"127.0.0.1:{port}"))
        with pytest.raises(SettingsError, match=f"127.0.0.1:{port}.*already in use"):
            Listening(front)
        assert not (place / "x.sock").exists()


def test_a_descriptor_that_does_not_listen_is_refused() -> None:
    with socket.socket(socket.AF_UNIX) as idle:
        text = f"fd:{idle.fileno()}"
        with pytest.raises(SettingsError, match="not a listening socket"):
            Listening(Front(listen=(text,)))


# ---- what goes on in the next program ------------------------------------------------


class Program:
    """Programs of one process, each with what the last one has left."""

    def __init__(self, *listen: str, **more: Any) -> None:
        self._more = more
        self.now = Listening(Front(listen=listen, **more))

    def left(self) -> tuple[Kept, ...]:
        """Leave what listens, as a program does that executes another."""
        kept = self.now.kept()
        for sock in self.now.fastcgi:
            sock.detach()
        return kept

    def next(self, *listen: str, **more: Any) -> None:
        """Go on with other settings."""
        self.now = Listening(Front(listen=listen, **more), self.left())


@pytest.fixture
def place() -> Iterator[Path]:
    with directory() as made:
        (made / "link").symlink_to(made)
        yield made


@pytest.fixture
def port() -> int:
    return daemon.free_port()


def connects(address: tuple[str, int] | str) -> bool:
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as client:
        return client.connect_ex(address) == 0


def test_what_was_handed_in_goes_on_as_the_same_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as handed:
        word, address = f"fd:{handed.fileno()}", handed.getsockname()
        program = Program(word)
    # the trial has no such descriptor
    sockets.attempt(Front(listen=(word,)), program.now.kept())
    program.next(word)
    assert connects(address)
    program.now.close()
    assert not connects(address)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("127.0.0.1:PORT", "localhost:PORT"),
        (":PORT", "*:PORT"),
        ("0.0.0.0:PORT", "0:PORT"),
        ("unix:PLACE/x.sock", "unix:PLACE/root/../x.sock"),
        ("unix:PLACE/x.sock", "unix:PLACE/link/x.sock"),
    ],
)
def test_the_same_address_in_other_words_is_the_same_listener(
    place: Path, port: int, before: str, after: str
) -> None:
    first, second = [
        word.replace("PLACE", str(place)).replace("PORT", str(port))
        for word in (before, after)
    ]
    program = Program(first)
    inode = os.fstat(program.now.fastcgi[0].fileno()).st_ino
    for word in (second, first):
        sockets.attempt(Front(listen=(word,)), program.now.kept())
        program.next(word)
        assert os.fstat(program.now.fastcgi[0].fileno()).st_ino == inode
        assert [one.text for one in program.now.kept()] == [word]
    assert connects(("127.0.0.1", port) if "PORT" in before else f"{place}/x.sock")
    program.now.close()
    assert not (place / "x.sock").exists()


def test_what_was_handed_in_may_be_called_by_its_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as handed:
        program = Program(f"fd:{handed.fileno()}")
        address = handed.getsockname()
    program.next(f"localhost:{address[1]}")
    assert connects(address)
    program.now.close()


@needs_ipv6
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("127.0.0.1:PORT", "0.0.0.0:PORT"),
        ("127.0.0.1:PORT", ":PORT"),
        ("0.0.0.0:PORT", "127.0.0.1:PORT"),
        (":PORT", "[::1]:PORT"),
    ],
)
def test_an_address_that_this_farm_is_in_the_way_of_wants_a_stop_and_a_start(
    port: int, before: str, after: str
) -> None:
    first, second = [word.replace("PORT", str(port)) for word in (before, after)]
    program = Program(first)
    front = Front(listen=(second,))
    with pytest.raises(ListenError) as tried:
        sockets.attempt(front, program.now.kept())
    assert str(tried.value) == (
        f'[front] listen = "{second}": this farm itself listens there, as {first}; '
        "the change counts after a stop and a start"
    )
    program.now.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_settings_that_are_in_each_others_way_are_told_so(port: int, host: str) -> None:
    word = f"127.0.0.1:{port}"
    front = Front(listen=(word,), http=f"{host}:{port}")
    program = Program(word)
    with pytest.raises(ListenError) as with_it:
        sockets.attempt(front, program.now.kept())
    program.now.close()
    with pytest.raises(ListenError) as from_nothing:
        sockets.attempt(front)
    said = f"{word}, which is configured as well, is there already"
    for refused in (with_it, from_nothing):
        assert refused.value.setting == "http"
        assert refused.value.reason == said


@needs_ipv6
def test_another_process_at_the_same_port_is_not_taken_for_this_farm(
    port: int,
) -> None:
    program = Program(f"127.0.0.1:{port}")
    with socket.create_server(("::", port), family=socket.AF_INET6):
        front = Front(listen=(f"[::]:{port}",))
        with pytest.raises(ListenError, match="Address already in use"):
            sockets.attempt(front, program.now.kept())
    program.now.close()


def queue_of(path: Path) -> int:
    """Return how many connections wait until no more are taken."""
    with contextlib.ExitStack() as stack:
        for number in itertools.count():
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            if client.connect_ex(str(path)):
                return number
    raise AssertionError


def test_what_stays_gets_the_mode_and_the_queue_of_the_new_settings(
    place: Path,
) -> None:
    path = place / "x.sock"
    word = f"unix:{path}"
    program = Program(word, backlog=2)
    front = Front(listen=(word,), listen_mode=0o600, backlog=9)
    sockets.attempt(front, program.now.kept())
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    few = queue_of(path)
    program.next(word, listen_mode=0o600, backlog=9)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    while few:
        program.now.fastcgi[0].accept()[0].close()
        few -= 1
    assert queue_of(path) > 7
    program.now.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
def test_what_stays_gets_the_owner_of_the_new_settings_and_loses_it(
    place: Path,
) -> None:
    path = place / "x.sock"
    word = f"unix:{path}"
    program = Program(word)
    before = path.stat().st_uid, path.stat().st_gid
    program.next(word, listen_user="nobody", listen_group="nogroup")
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65534)
    program.next(word)
    assert (path.stat().st_uid, path.stat().st_gid) == before
    program.now.close()


def test_a_path_that_somebody_has_removed_is_made_again(place: Path) -> None:
    path = place / "x.sock"
    program = Program(f"unix:{path}")
    path.unlink()
    sockets.attempt(Front(listen=(f"unix:{path}",)), program.now.kept())
    assert not path.exists()
    program.next(f"unix:{path}")
    assert connects(str(path))
    program.now.close()
    assert not path.exists()


def test_a_path_that_another_process_has_taken_is_not_taken_for_this_farms(
    place: Path,
) -> None:
    path = place / "x.sock"
    program = Program(f"unix:{path}")
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen(1)
        queue_of(path)  # a full one is as good
        front = Front(listen=(f"unix:{path}",))
        with pytest.raises(ListenError, match="another process listens there"):
            sockets.attempt(front, program.now.kept())
    program.now.close()
    assert path.exists()


# ---- the trial -----------------------------------------------------------------------


def test_an_attempt_leaves_all_as_it_was(place: Path, port: int) -> None:
    kept, fresh = f"unix:{place}/kept.sock", f"unix:{place}/fresh.sock"
    program = Program(kept, f"127.0.0.1:{port}")
    before = (place / "kept.sock").stat()
    front = Front(listen=(kept, fresh), http=":0", listen_mode=0o600)
    sockets.attempt(front, program.now.kept())
    assert (place / "kept.sock").stat() == before
    assert not (place / "fresh.sock").exists()
    assert connects(str(place / "kept.sock"))
    assert connects(("127.0.0.1", port))
    program.now.close()


def test_an_attempt_listens_nowhere(
    place: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[socket.socket] = []
    monkeypatch.setattr(socket.socket, "listen", lambda self, _: heard.append(self))
    front = Front(listen=(f"unix:{place}/x.sock",), http=f"127.0.0.1:{port}")
    sockets.attempt(front)
    assert heard == []
    Listening(front).close()
    assert len(heard) == 2


@pytest.mark.parametrize("is_kept", [True, False])
def test_an_attempt_finds_owners_that_do_not_exist(
    place: Path, *, is_kept: bool
) -> None:
    program = Program(f"unix:{place}/x.sock")
    listen = (f"unix:{place}/{'x' if is_kept else 'y'}.sock",)
    for setting in ("listen_user", "listen_group"):
        front = Front(listen=listen, **{setting: "no-such"})  # type: ignore[arg-type]
        with pytest.raises(ListenError) as refused:
            sockets.attempt(front, program.now.kept())
        assert (refused.value.setting, refused.value.value) == (setting, "no-such")
    assert not (place / "y.sock").exists()
    program.now.close()


def test_an_attempt_closes_what_it_opened_before_it_fails(
    place: Path, port: int
) -> None:
    with socket.create_server(("127.0.0.1", port)):
        front = Front(listen=(f"unix:{place}/x.sock", f"127.0.0.1:{port}"))
        before = set(Path("/proc/self/fd").iterdir())
        with pytest.raises(ListenError, match="Address already in use"):
            sockets.attempt(front)
        assert set(Path("/proc/self/fd").iterdir()) == before
    assert not (place / "x.sock").exists()


@needs_ipv6
def test_an_attempt_on_all_addresses_meets_one_of_ipv6(port: int) -> None:
    with (
        socket.create_server(("::", port), family=socket.AF_INET6),
        pytest.raises(ListenError, match="Address already in use"),
    ):
        sockets.attempt(Front(listen=(f":{port}",)))
