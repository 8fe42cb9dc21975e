"""What hangs is replaced: roles by their parent, and by a service manager."""

import contextlib
import signal
import socket
import struct
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from bench import daemon, procfs
from tests.farm.client import ask
from tests.farm.farms import LUAFARM, Farm, directory, hosts_of, kill, until, up

pytestmark = pytest.mark.process

HELLO = "function main(e, c) c:puts('hello') end"
HOSTS = 2


def hang(farm: Farm, title: str) -> int:
    """Let a process of the farm hang, and never go on; return which."""
    pid = farm.titled(title)[0]
    kill(pid, signal.SIGSTOP)
    return pid


def is_replaced(farm: Farm, title: str, pid: int) -> bool:
    found = farm.titled(title)
    return bool(found) and pid not in found


# ---- by its parent -----------------------------------------------------------------


@pytest.mark.parametrize("role", ["broker", "supervisor", "front"])
def test_a_role_that_hangs_is_replaced(role: str) -> None:
    with up(hosts=HOSTS) as farm:
        script = farm.write("hello.lua", HELLO)
        assert ask(farm.socket, script).body == b"hello"
        title = f"luafarm-{role}"
        pid = hang(farm, title)
        until(lambda: is_replaced(farm, title, pid), "it is replaced")
        until(lambda: len(hosts_of(farm)) == HOSTS, "its VM hosts are there")
        assert ask(farm.socket, script).body == b"hello"
        assert farm.log().count("has been silent for 3 s: killed") == 1


def test_all_roles_that_hang_at_once_are_replaced() -> None:
    with up(hosts=HOSTS) as farm:
        script = farm.write("hello.lua", HELLO)
        assert ask(farm.socket, script).body == b"hello"
        titles = [f"luafarm-{role}" for role in ("broker", "supervisor", "front")]
        pids = [hang(farm, title) for title in titles]
        for title, pid in zip(titles, pids, strict=True):
            until(partial(is_replaced, farm, title, pid), f"{title} is another")
        assert ask(farm.socket, script).body == b"hello"


def test_a_farm_that_was_paused_as_a_whole_keeps_its_roles() -> None:
    with up(hosts=HOSTS) as farm:
        script = farm.write("hello.lua", HELLO)
        assert ask(farm.socket, script).body == b"hello"
        roles = ("luafarm-broker", "luafarm-supervisor", "luafarm-front")
        before = [farm.titled(title) for title in roles]
        parent = farm.daemons["up"].pid
        kill(parent, signal.SIGSTOP)
        stopped = [pid for pids in before for pid in pids]
        for pid in stopped:
            kill(pid, signal.SIGSTOP)
        # whoever hangs for as long as this would be killed
        with up("[roles]\nwatchdog = 2\n", hosts=1) as other:
            pid = hang(other, "luafarm-broker")
            until(lambda: is_replaced(other, "luafarm-broker", pid), "time has passed")
        for pid in [parent, *stopped]:
            kill(pid, signal.SIGCONT)
        assert ask(farm.socket, script).body == b"hello"
        assert [farm.titled(title) for title in roles] == before


def test_an_idle_vm_host_that_hangs_is_replaced() -> None:
    with up(hosts=HOSTS) as farm:
        pid = hang(farm, "luafarm-vmhost ")
        until(lambda: pid not in hosts_of(farm), "it is killed")
        until(lambda: len(hosts_of(farm)) == HOSTS, "it is replaced")


def test_fronts_without_a_farm_of_their_own_are_replaced_as_well() -> None:
    with directory() as place:
        path = str(place / "front.sock")
        command = [*LUAFARM, "fcgi", "--fronts", "2"]
        command += ["--set", f"front.listen=unix:{path}"]
        command += ["--set", f"paths.run={place}/run", "--set", "front.ping_path=/ping"]
        with daemon.running(command, place / "log") as process:
            process.wait_until(lambda: daemon.accepts(path), "it listens")

            def fronts() -> set[int]:
                tree = procfs.tree(process.pid)
                return {p for p in tree if procfs.title(p).startswith("luafarm-front")}

            until(lambda: len(fronts()) == 2, "both are there")
            pid = min(fronts())
            kill(pid, signal.SIGSTOP)
            until(lambda: pid not in fronts(), "it is killed")
            until(lambda: len(fronts()) == 2, "it is replaced")
            until(lambda: ask(path, "/ping").body == b"pong", "they serve")


# ---- by a service manager ----------------------------------------------------------


class Manager:
    """A socket in systemd's place, and what came from whom."""

    def __init__(self, place: Path) -> None:
        self.address = str(place / "notify")
        self.heard: list[tuple[int, str]] = []  # sender, message
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.setblocking(False)

    def has(self, field: str) -> bool:
        """Return whether a message with this field has come."""
        return self.count(field) > 0

    def count(self, field: str) -> int:
        self._listen()
        return sum(field in text.splitlines() for _, text in self.heard)

    def senders(self) -> set[int]:
        self._listen()
        return {pid for pid, _ in self.heard}

    def close(self) -> None:
        self._socket.close()

    def _listen(self) -> None:
        size = socket.CMSG_SPACE(struct.calcsize("3i"))
        with contextlib.suppress(BlockingIOError):
            while True:
                text, told, _, _ = self._socket.recvmsg(4096, size)
                ((_, _, credentials),) = told
                pid, _, _ = struct.unpack("3i", credentials)
                self.heard.append((pid, text.decode()))


@contextlib.contextmanager
def service(
    place: Path, name: str, *arguments: str
) -> Iterator[tuple[Manager, daemon.Daemon]]:
    """Run a command of luafarm as systemd would, with a watchdog of 2 s."""
    home = place / name
    home.mkdir()
    manager = Manager(home)
    os_environment = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "2000000"}
    run = ["--set", f"paths.run={place}/run"]
    command = [*LUAFARM, name, *arguments, *run]
    with daemon.running(command, home / "log", os_environment) as process:
        try:
            yield manager, process
        finally:
            manager.close()


def pool(place: Path) -> Sequence[str]:
    root = place / "root"
    root.mkdir(exist_ok=True)
    return "--set", f"pool.web.root={root}", "--set", "pool.web.hosts=1"


def tell_of_its_life(manager: Manager, process: daemon.Daemon) -> None:
    """Have a service that is ready live for a while, and end."""
    until(lambda: manager.has("READY=1"), "it is ready")
    alive = manager.count("WATCHDOG=1")
    until(lambda: manager.count("WATCHDOG=1") > alive + 1, "it says that it lives")
    process.process.terminate()
    assert process.process.wait(120) == 0
    assert manager.has("STOPPING=1")
    # NotifyAccess=main: nobody else is heard, and no child should try
    assert manager.senders() == {process.pid}


def test_a_broker_tells_its_manager_of_its_life() -> None:
    with directory() as place, service(place, "broker", *pool(place)) as told:
        tell_of_its_life(*told)


def test_a_supervisor_is_ready_when_its_vm_hosts_are() -> None:
    with directory() as place, service(place, "vmhost", *pool(place)) as told:
        manager, process = told
        until(lambda: manager.has("READY=1"), "it is ready")
        tree = procfs.tree(process.pid)
        assert any(procfs.title(p).startswith("luafarm-vmhost ") for p in tree)
        tell_of_its_life(manager, process)


def test_the_parent_of_fronts_tells_its_manager_when_they_serve() -> None:
    with directory() as place:
        path = str(place / "front.sock")
        listen = ("--set", f"front.listen=unix:{path}", "--fronts", "2")
        with service(place, "fcgi", *listen) as (manager, process):
            until(lambda: manager.has("READY=1"), "it is ready")
            assert daemon.accepts(path)
            tell_of_its_life(manager, process)


def test_a_whole_farm_tells_its_manager_also_of_a_reload() -> None:
    with directory() as place:
        path = str(place / "front.sock")
        arguments = (*pool(place), "--listen", f"unix:{path}")
        with service(place, "up", *arguments) as (manager, process):
            script = place / "root" / "hello.lua"
            script.write_text(HELLO)
            until(lambda: manager.has("READY=1"), "it is ready")
            assert ask(path, script).body == b"hello"
            kill(process.pid, signal.SIGHUP)
            until(lambda: manager.has("RELOADING=1"), "it reloads")
            ready = manager.count("READY=1")
            until(lambda: manager.count("READY=1") > ready, "it has reloaded")
            tell_of_its_life(manager, process)
