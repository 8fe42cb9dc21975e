"""Listening sockets: where they come from, whose they are, and what is left of them."""

import os
import socket
import stat
from pathlib import Path

import pytest

from luafarm.errors import SettingsError
from luafarm.settings import Front
from luafarm.sockets import Listening
from tests.luafarm.farms import directory


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


@pytest.mark.parametrize("kind", ["user", "group"])
def test_an_owner_that_does_not_exist_is_refused(kind: str) -> None:
    with directory() as place:
        listen = (f"unix:{place}/x.sock",)
        if kind == "user":
            front = Front(listen=listen, listen_user="no-such")
        else:
            front = Front(listen=listen, listen_group="no-such")
        with pytest.raises(
            SettingsError, match=rf'listen_{kind} = "no-such": no such {kind}'
        ):
            Listening(front)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
def test_a_path_belongs_to_whom_the_settings_say() -> None:
    with directory() as place:
        path = place / "x.sock"
        front = Front(
            listen=(f"unix:{path}",), listen_user="nobody", listen_group="nogroup"
        )
        listening = Listening(front)
        assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65534)
        listening.close()
