"""Listeners under HUP: what stays, as what, and what keeps a farm from going on."""

import contextlib
import os
import signal
import socket
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from bench import daemon
from tests.farm.client import Address, ask
from tests.farm.farms import LUAFARM, Farm, directory, kill, until, up

pytestmark = pytest.mark.process

NAME = "function main(env, con) con:puts('served') end"
UNCHANGED = "HUP: nothing is changed: "


def hup(farm: Farm, role: str = "up") -> None:
    """Say HUP; return when other fronts serve in place of all that are there."""
    old = set(farm.titled("luafarm-front"))
    kill(farm.daemons[role].pid, signal.SIGHUP)

    def is_renewed() -> bool:
        assert UNCHANGED not in farm.log(), farm.log()
        assert farm.daemons[role].process.poll() is None, farm.log()
        now = set(farm.titled("luafarm-front"))
        return bool(now) and not now & old

    until(is_renewed, "all fronts are others")


def refused(farm: Farm) -> str:
    """Say HUP, and return why nothing is changed."""
    before = farm.log().count(UNCHANGED)
    kill(farm.daemons["up"].pid, signal.SIGHUP)

    def is_told() -> bool:
        assert farm.daemons["up"].process.poll() is None, farm.log()
        return farm.log().count(UNCHANGED) > before

    until(is_told, "it says why not")
    return farm.log().rpartition(UNCHANGED)[2].splitlines()[0]


@contextlib.contextmanager
def listening(*listen: str) -> Iterator[tuple[Farm, Callable[..., None]]]:
    """Run a farm with listeners; give it, and what configures others."""
    with directory() as place:
        root = place / "root"
        root.mkdir()
        (place / "link").symlink_to(place)
        config = place / "luafarm.toml"

        def configure(*listen: str, front: str = "", more: str = "") -> None:
            config.write_text(
                f'[paths]\nrun = "{place}/run"\n'
                f'[pool.web]\nroot = ["{root}"]\nhosts = 1\n'
                f"{more}\n[front]\nlisten = {words(listen, place)}\n{front}\n"
            )

        configure(*listen)
        farm = Farm(place, root, config, str(place / "front.sock"))
        farm.write("name.lua", NAME)
        command = [*LUAFARM, "up", "--config", str(config)]
        with daemon.running(command, place / "up.log") as process:
            farm.daemons["up"] = process
            process.wait_until(lambda: "Ctrl-C" in farm.log(), "the farm is ready")
            yield farm, configure


def words(listen: Sequence[str], place: Path) -> list[str]:
    return [word.replace("PLACE", str(place)) for word in listen]


def serves(farm: Farm, address: Address) -> bool:
    return ask(address, farm.root / "name.lua").body == b"served"


# ---- what stays ----------------------------------------------------------------------


def test_a_socket_that_was_handed_in_is_served_on_after_hup() -> None:
    with up() as farm, socket.create_server(("127.0.0.1", 0)) as handed:
        farm.write("name.lua", NAME)
        command = [*LUAFARM, "fcgi", "--config", str(farm.config)]
        command += ["--set", "front.listen=fd:0"]
        log = farm.place / "fcgi.log"
        with daemon.running(command, log, stdin=handed.fileno()) as process:
            farm.daemons = {"fcgi": process}
            address = handed.getsockname()
            until(lambda: bool(farm.titled("luafarm-front")), "a front comes")
            assert serves(farm, address)
            for _ in range(2):
                hup(farm, "fcgi")
                assert serves(farm, address)


def test_a_socket_that_was_handed_in_may_come_and_go() -> None:
    with up() as farm, socket.create_server(("127.0.0.1", 0)) as handed:
        farm.write("name.lua", NAME)
        config, address = farm.place / "fronts.toml", handed.getsockname()
        own = f"unix:{farm.place}/own.sock"

        def configure(word: str) -> None:
            text = f'[paths]\nrun = "{farm.place}/run"\n[front]\nlisten = "{word}"\n'
            config.write_text(text)

        configure(own)
        command = [*LUAFARM, "fcgi", "--config", str(config)]
        log = farm.place / "fcgi.log"
        with daemon.running(command, log, stdin=handed.fileno()) as process:
            farm.daemons = {"fcgi": process}
            until(lambda: bool(farm.titled("luafarm-front")), "a front comes")
            words = ("fd:0", f"localhost:{address[1]}", own, "fd:0")
            for word in words:
                configure(word)
                hup(farm, "fcgi")
                assert (farm.place / "own.sock").exists() == (word == own)
                assert word == own or serves(farm, address)


def test_a_listener_stays_when_it_is_written_in_another_way() -> None:
    port = daemon.free_port()
    before = (f"127.0.0.1:{port}", "unix:PLACE/front.sock")
    after = (f"localhost:{port}", "unix:PLACE/link/front.sock")
    with listening(*before) as (farm, configure):
        inode = Path(farm.socket).stat().st_ino
        for words_now in (after, before):
            configure(*words_now)
            hup(farm)
            assert serves(farm, ("127.0.0.1", port))
            assert serves(farm, farm.socket)
            assert Path(farm.socket).stat().st_ino == inode


def test_a_listener_that_stays_gets_its_new_mode() -> None:
    with listening("unix:PLACE/front.sock") as (farm, configure):
        assert stat.S_IMODE(Path(farm.socket).stat().st_mode) == 0o660
        configure("unix:PLACE/front.sock", front="listen_mode = '0600'")
        hup(farm)
        assert stat.S_IMODE(Path(farm.socket).stat().st_mode) == 0o600
        assert serves(farm, farm.socket)


# ---- what keeps a farm from going on -------------------------------------------------


def test_what_only_the_new_program_would_find_out_is_found_by_the_trial() -> None:
    port, kept = daemon.free_port(), "unix:PLACE/front.sock"
    with listening(kept, f"127.0.0.1:{port}") as (farm, configure):
        old = farm.titled("luafarm-front")
        # a log where everybody may write
        configure(kept, more="[log]\nfile = '/tmp/luafarm-no-such.log'")
        assert "/tmp may be written by others" in refused(farm)
        assert not Path("/tmp/luafarm-no-such.log").exists()
        # a listener that is to belong to nobody, and a fresh one beside
        for listen in ([kept], [kept, "unix:PLACE/fresh.sock"]):
            configure(*listen, front="listen_group = 'nosuch'")
            assert '[front] listen_group = "nosuch": no such group' in refused(farm)
        assert not (farm.place / "fresh.sock").exists()
        # one that this farm itself is in the way of
        configure(kept, f"0.0.0.0:{port}")
        said = refused(farm)
        assert f"this farm itself listens there, as 127.0.0.1:{port}" in said
        assert "counts after a stop and a start" in said
        assert farm.titled("luafarm-front") == old
        assert serves(farm, farm.socket)
        assert serves(farm, ("127.0.0.1", port))


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="there is no IPv6")
def test_a_port_that_somebody_has_on_ipv6_alone_changes_nothing() -> None:
    kept, taken = "unix:PLACE/front.sock", ("::", 0)
    with (
        listening(kept) as (farm, configure),
        socket.create_server(taken, family=socket.AF_INET6) as other,
    ):
        configure(kept, f":{other.getsockname()[1]}")
        assert "Address already in use" in refused(farm)
        assert serves(farm, farm.socket)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
def test_a_listener_that_stays_gets_its_new_owner() -> None:
    with listening("unix:PLACE/front.sock") as (farm, configure):
        owner = "listen_user = 'nobody'\nlisten_group = 'nogroup'"
        configure("unix:PLACE/front.sock", front=owner)
        hup(farm)
        found = Path(farm.socket).stat()
        assert (found.st_uid, found.st_gid) == (65534, 65534)
        assert serves(farm, farm.socket)
