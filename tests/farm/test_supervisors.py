"""Two supervisors with the name of one machine: the first one serves on."""

import contextlib
import functools
import signal
from collections.abc import Iterator

import pytest

from bench import daemon
from tests.farm.client import ask
from tests.farm.farms import LUAFARM, Farm, directory, hosts_of, kill, until

pytestmark = pytest.mark.process

HELLO = "function main(env, con) con:puts('hello') end"
REFUSED = "machine box has a supervisor, which lives"
SECONDS = 40.0


class Machines:
    """A broker, a front, and supervisors that all say that they are machine box."""

    def __init__(self, farm: Farm, stack: contextlib.ExitStack) -> None:
        self.farm = farm
        self._stack = stack
        self.script = farm.write("hello.lua", HELLO)

    def start(self, name: str, role: str) -> None:
        """Start a role with a run directory of its own, as on a machine of its own."""
        place = self.farm.place
        config = place / f"{name}.toml"
        config.write_text(
            f'[paths]\nrun = "{place}/{name}"\n'
            f'[broker]\nendpoint = "ipc://{place}/broker.sock"\n'
            f'[vmhost]\nmachine = "box"\n[roles]\nwatchdog = 0\n'
            f'[front]\nlisten = ["unix:{self.farm.socket}"]\n'
            f'[pool.web]\nroot = ["{self.farm.root}"]\nhosts = 2\n'
        )
        command = [*LUAFARM, role, "--config", str(config)]
        process = daemon.running(command, place / f"{name}.log")
        self.farm.daemons[name] = self._stack.enter_context(process)

    def log(self, name: str) -> str:
        return (self.farm.place / f"{name}.log").read_text()

    def pids(self) -> set[int]:
        """Return the processes of the VM hosts that the broker knows."""
        return {host["pid"] for host in self.farm.status()["hosts"]}

    def requests(self) -> int:
        """Return how many requests the supervisor told the broker of."""
        return sum(host["requests"] for host in self.farm.status()["hosts"])

    def has_told_more(self, than: int) -> bool:
        return self.requests() > than

    def serves(self) -> bool:
        return ask(self.farm.socket, self.script).body == b"hello"

    def pids_of(self, name: str) -> set[int]:
        """Return the VM hosts that a supervisor has started."""
        return set(hosts_of(self.processes_of(name)))

    def processes_of(self, name: str) -> Farm:
        """Return what one role has started."""
        alone = Farm(self.farm.place, self.farm.root, self.farm.config, "")
        alone.daemons[name] = self.farm.daemons[name]
        return alone


@pytest.fixture
def machines() -> Iterator[Machines]:
    """Run a farm with one supervisor, which serves."""
    with directory() as place, contextlib.ExitStack() as stack:
        root = place / "root"
        root.mkdir()
        farm = Farm(place, root, place / "broker.toml", str(place / "front.sock"))
        found = Machines(farm, stack)
        for name, role in (("broker", "broker"), ("first", "vmhost"), ("f", "fcgi")):
            found.start(name, role)
        farm.daemons["f"].wait_until(lambda: daemon.accepts(farm.socket), "it listens")
        until(lambda: len(found.pids()) == 2, "the first machine is known", SECONDS)
        until(found.serves, "it serves", SECONDS)
        yield found


def join(machines: Machines) -> None:
    """Start a second supervisor; return when the broker has refused it."""
    machines.start("second", "vmhost")
    until(lambda: REFUSED in machines.log("second"), "it is refused", SECONDS)
    until(lambda: len(machines.pids_of("second")) == 2, "its hosts wait", SECONDS)


def test_the_second_is_refused_with_an_error_on_both_sides_and_the_first_serves_on(
    machines: Machines,
) -> None:
    first = machines.pids()
    join(machines)
    refused = machines.log("second").count(REFUSED)
    for _ in range(3):  # reports of the first one, each a second after the other
        told = machines.requests()
        assert machines.serves()
        until(functools.partial(machines.has_told_more, told), "it reports", SECONDS)
    assert machines.pids() == first
    assert machines.serves()
    assert machines.log("second").count(REFUSED) == refused == 1
    [line] = [s for s in machines.log("broker").splitlines() if " error " in s]
    assert f"peer=box role=supervisor machine=box refused: {REFUSED}" in line
    assert "[vmhost] machine" in line
    machines.farm.daemons["second"].stop()
    assert machines.pids() == first
    assert machines.serves()


def test_the_second_takes_over_when_the_first_is_killed(machines: Machines) -> None:
    join(machines)
    second = machines.pids_of("second")
    kill(machines.farm.daemons["first"].pid)
    until(lambda: machines.pids() == second, "the second one serves", SECONDS)
    until(machines.serves, "it serves", SECONDS)
    assert "machine=box has a new supervisor" in machines.log("broker")


def test_the_second_takes_over_when_the_first_hangs_and_keeps_the_name(
    machines: Machines,
) -> None:
    join(machines)
    second = machines.pids_of("second")
    hung = machines.processes_of("first").one("luafarm-supervisor")
    kill(hung, signal.SIGSTOP)
    until(lambda: machines.pids() == second, "the second one serves", SECONDS)
    kill(hung, signal.SIGCONT)
    until(lambda: "refuses this supervisor" in machines.log("first"), "it is told")
    assert machines.pids() == second
    assert machines.serves()
    kill(machines.farm.daemons["second"].pid)
    first = machines.pids_of("first")
    until(lambda: machines.pids() == first, "the first one serves again", SECONDS)
    until(machines.serves, "it serves", SECONDS)


def test_a_new_broker_hears_the_first_before_the_second(machines: Machines) -> None:
    first = machines.pids()
    join(machines)
    machines.farm.daemons["broker"].stop()
    machines.start("broker", "broker")
    until(lambda: machines.pids() == first, "the first one is known", SECONDS)
    until(lambda: machines.log("broker").count(REFUSED) == 2, "the second asks again")
    assert machines.pids() == first
    assert machines.serves()


def test_a_supervisor_that_is_started_again_is_let_in_at_once(
    machines: Machines,
) -> None:
    kill(machines.farm.daemons["first"].pid)
    machines.farm.daemons["first"].process.wait()
    machines.start("first", "vmhost")
    until(lambda: len(machines.pids_of("first")) == 2, "it has hosts", SECONDS)
    until(lambda: machines.pids() == machines.pids_of("first"), "it is let in", SECONDS)
    assert "refuse" not in machines.log("first")


def test_a_second_broker_at_the_same_endpoint_says_so_and_ends(
    machines: Machines,
) -> None:
    machines.start("other", "broker")
    assert machines.farm.daemons["other"].process.wait(SECONDS) == 2
    log = machines.log("other")
    assert f'[broker] endpoint = "ipc://{machines.farm.place}/broker.sock": ' in log
    assert "another broker listens there" in log
    assert machines.serves()
    assert len(machines.pids()) == 2
