"""Who may connect to UNIX listeners."""

import grp
import os
import stat
from collections.abc import Callable

import pytest

from luafarm.config.settings import Front
from luafarm.errors import ListenError, SettingsError
from luafarm.process import access, sockets
from luafarm.process.sockets import Listening
from tests.luafarm.farms import directory


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
    found = [name for name in access.WEB_SERVERS if name in known_groups()]
    expected = grp.getgrnam(found[0]).gr_gid if found else os.getegid()
    with directory() as place:
        path = place / "x.sock"
        listening = Listening(Front(listen=(f"unix:{path}",)))
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert path.stat().st_gid == expected
        assert access.group(Front()) == (found[0] if found else "")
        named = grp.getgrgid(expected).gr_name
        assert access.describe(str(path)) == [
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
            (line,) = access.describe(str(path))
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


def test_a_trial_refuses_a_group_that_is_not_ones_own_and_changes_nothing() -> None:
    with directory() as place:
        place.chmod(0o777)
        path = place / "x.sock"
        word = f"unix:{path}"

        def claims() -> None:
            others = known_groups() - {grp.getgrgid(g).gr_name for g in own_groups()}
            listening = Listening(Front(listen=(word,)))
            before = path.stat()
            sockets.attempt(Front(listen=(word,), listen_mode=0o600), listening.kept())
            front = Front(listen=(word,), listen_group=min(others))
            with pytest.raises(ListenError, match="one of your own groups belongs"):
                sockets.attempt(front, listening.kept())
            front = Front(listen=(word,), listen_user="root")
            with pytest.raises(ListenError, match="only root gives sockets"):
                sockets.attempt(front, listening.kept())
            assert path.stat() == before
            listening.close()

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
            (line,) = access.describe(str(path))
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
        _, line = access.describe(str(path))
        named = grp.getgrgid(path.stat().st_gid).gr_name
        assert line == f"but group {named} cannot enter {closed} (mode 0700)"
        closed.chmod(0o755)
        assert len(access.describe(str(path))) == 1
        listening.close()
