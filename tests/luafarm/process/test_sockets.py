"""Listening sockets: where they come from, whose they are, and what is left of them."""

import grp
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from luafarm.config.settings import Front
from luafarm.errors import SettingsError
from luafarm.process.sockets import WEB_SERVERS, Listening, access, group
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


# ---- who may connect ---------------------------------------------------------------

IS_ROOT = os.geteuid() == 0
NOBODY = 65534


def as_nobody(claims: Callable[[], None]) -> None:
    """Run claims as an ordinary user; what fails there fails here."""
    if not IS_ROOT:
        claims()
        return
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            claims()
        except BaseException as error:  # noqa: BLE001 - told below
            os.write(2, f"{error!r}\n".encode())
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def known_groups() -> set[str]:
    return {entry.gr_name for entry in grp.getgrall()}


@pytest.mark.skipif(not IS_ROOT, reason="only root gives sockets away")
def test_unless_told_root_lets_the_group_of_the_web_server_connect() -> None:
    found = [name for name in WEB_SERVERS if name in known_groups()]
    expected = grp.getgrnam(found[0]).gr_gid if found else os.getegid()
    with directory() as place:
        path = place / "x.sock"
        listening = Listening(Front(listen=(f"unix:{path}",)))
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert path.stat().st_gid == expected
        assert group(Front()) == (found[0] if found else "")
        named = grp.getgrgid(expected).gr_name
        assert access(str(path)) == [
            f"root and group {named} may connect (--listen-group names another)"
        ]
        listening.close()


def test_unless_told_an_ordinary_user_lets_the_own_group_connect() -> None:
    with directory() as place:
        place.chmod(0o777)
        path = place / "x.sock"

        def claims() -> None:
            listening = Listening(Front(listen=(f"unix:{path}",)))
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
            assert path.stat().st_gid == os.getegid()
            (line,) = access(str(path))
            own = grp.getgrgid(os.getegid()).gr_name
            assert f" and group {own} may connect" in line
            assert "(--listen-group names another of your groups)" in line
            listening.close()

        as_nobody(claims)


def test_a_group_that_is_not_ones_own_is_refused_and_leaves_no_socket() -> None:
    with directory() as place:
        place.chmod(0o777)
        path = place / "x.sock"

        def claims() -> None:
            others = known_groups() - {grp.getgrgid(g).gr_name for g in own_groups()}
            name = min(others)
            with pytest.raises(SettingsError) as refused:
                Listening(Front(listen=(f"unix:{path}",), listen_group=name))
            assert str(refused.value) == (
                f'[front] listen_group = "{name}": one of your own groups belongs here'
            )
            assert not path.exists()

        as_nobody(claims)


def own_groups() -> set[int]:
    return {os.getegid(), *os.getgroups()}


def test_a_user_other_than_oneself_is_refused_to_all_but_root() -> None:
    with directory() as place:
        place.chmod(0o777)
        path = place / "x.sock"

        def claims() -> None:
            with pytest.raises(
                SettingsError, match="only root gives sockets to others"
            ):
                Listening(Front(listen=(f"unix:{path}",), listen_user="root"))
            assert not path.exists()

        as_nobody(claims)


def test_modes_other_than_the_usual_are_told_as_what_they_allow() -> None:
    with directory() as place:
        path = place / "x.sock"
        for mode, said in (
            (0o666, "anybody may connect, and run scripts with any parameters"),
            (0o600, " may connect"),
        ):
            listening = Listening(Front(listen=(f"unix:{path}",), listen_mode=mode))
            (line,) = access(str(path))
            assert line.endswith(said)
            assert "group" not in line
            listening.close()


def test_a_directory_that_the_group_cannot_enter_is_named() -> None:
    with directory() as place:
        closed = place / "closed"
        closed.mkdir(0o700)
        path = closed / "deep" / "x.sock"
        path.parent.mkdir(0o755)
        listening = Listening(Front(listen=(f"unix:{path}",)))
        _, line = access(str(path))
        named = grp.getgrgid(path.stat().st_gid).gr_name
        assert line == f"but group {named} cannot enter {closed} (mode 0700)"
        closed.chmod(0o755)
        assert len(access(str(path))) == 1
        listening.close()
