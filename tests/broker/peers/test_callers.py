"""Who calls the broker, as what: a real loop, and peers with and without keys."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from msgspec.structs import replace

from broker.peers.callers import MAX_CALLERS
from luafarm.ends import Death
from luafarm.keys import curve
from luafarm.names import HostId, Machine, Pool, RequestId, Script
from luafarm.wire import codec
from luafarm.wire.messages import (
    PROTOCOL,
    Hello,
    HostLost,
    HostRow,
    HostUp,
    MachineReport,
    Refused,
    Role,
    Snapshot,
    StatusIs,
    StatusWanted,
    Welcome,
)
from tests.broker.peers.played import DEADLINE_S, Bench, Dealer

A, B = Machine("a"), Machine("b")
HOST = HostId("a-p-1-00ff00ff")
LOST = HostLost(HOST, RequestId(0), (), Script(b""), Death.KILLED, "so it is said")


def up(host: HostId = HOST, machine: Machine = A) -> HostUp:
    """Return the announcement of a host that nobody will ever reach."""
    key = curve.fresh().public
    at = "tcp://127.0.0.1:1"
    return HostUp(host, Pool("p"), machine, at, key, at, key, (), (), 1, 1)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    curve.keygen(tmp_path / "keys")
    curve.keygen(tmp_path / "keys", ["vmhost-a", "vmhost-b"])
    return tmp_path / "keys"


@pytest.fixture
def bench(tmp_path: Path, keys: Path) -> Iterator[Bench]:
    """Run a broker on TCP that knows keys."""
    own = curve.load(keys, "broker", Machine("m"))
    with Bench(tmp_path, endpoint="tcp://127.0.0.1:*", keys=own) as made:
        made.endpoint = made.loop.endpoint
        made.keys = curve.load(keys, "command", Machine("m"))
        yield made


def supervisor(bench: Bench, keys: Path, machine: Machine) -> Dealer:
    own = curve.load(keys, "vmhost", machine)
    found = bench.dealer(Role.SUPERVISOR, machine, own)
    found.greet()
    return found


def hosts(bench: Bench) -> dict[str, int]:
    """Return the hosts that the broker knows, and their requests."""
    status = bench.wait_for(lambda _: True)
    return {host["host"]: host["requests"] for host in status["hosts"]}


def answered(dealer: Dealer) -> None:
    """Return when the broker has heard everything that was said before."""
    dealer.say(replace(dealer.hello, role=Role.HOST))
    dealer.expect(Refused, lambda refused: "VM host" in refused.reason)


def test_no_machine_touches_the_hosts_of_another(bench: Bench, keys: Path) -> None:
    first, other = (supervisor(bench, keys, machine) for machine in (A, B))
    first.say(up())
    bench.wait_for(lambda status: len(status["hosts"]) == 1)
    other.say(LOST)
    other.say(MachineReport((HostRow(HOST, 999, 1, b"/x"),)))
    other.say(up())
    other.say(up(machine=B))
    answered(other)
    assert hosts(bench) == {HOST: 0}
    first.say(MachineReport((HostRow(HOST, 7, 1, b""),)))
    bench.wait_for(lambda status: status["hosts"][0]["requests"] == 7)


def test_a_front_is_not_told_of_a_host_that_nobody_can_prove(
    bench: Bench, keys: Path
) -> None:
    first = supervisor(bench, keys, A)
    first.say(replace(up(HostId("a-p-1-1")), endpoint="ipc:///run/x", server_key=b""))
    first.say(replace(up(HostId("a-p-1-2")), server_key=b"x" * 41))
    first.say(up())
    bench.wait_for(lambda status: len(status["hosts"]) == 1)
    front = bench.dealer(Role.FRONT, "web", curve.load(keys, "fcgi", Machine("web")))
    front.greet()
    known = front.expect(Snapshot).hosts
    assert [host.host for host in known] == [HOST]


def test_who_takes_the_routing_id_of_a_supervisor_does_not_speak_for_it(
    bench: Bench, keys: Path
) -> None:
    first = bench.dealer(Role.SUPERVISOR, A)
    first.close()
    first.socket = bench.context.socket(zmq.DEALER)
    first.socket.linger = 0
    first.socket.set(zmq.ROUTING_ID, b"known")
    own = curve.load(keys, "vmhost", A)
    curve.connect(first.socket, own.own, own.broker)
    first.socket.connect(bench.endpoint)
    first.greet()
    first.say(up())
    bench.wait_for(lambda status: len(status["hosts"]) == 1)
    first.close()
    front = curve.load(keys, "fcgi", Machine("web"))
    hello = Hello(PROTOCOL, Role.FRONT, "liar", Machine("web"))
    end = time.monotonic() + DEADLINE_S
    while True:  # until libzmq knows that the id is free
        assert time.monotonic() < end
        liar = bench.context.socket(zmq.DEALER)
        liar.linger = 0
        liar.set(zmq.ROUTING_ID, b"known")
        curve.connect(liar, front.own, front.broker)
        liar.connect(bench.endpoint)
        for message in (LOST, MachineReport(()), hello):
            liar.send(codec.encode(message))
        is_in = bool(liar.poll(500))
        if is_in:
            assert isinstance(codec.decode(liar.recv()), Welcome)
        liar.close()
        if is_in:
            break
    assert hosts(bench) == {HOST: 0}


def test_orders_for_a_machine_go_to_who_speaks_for_it(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        first = bench.dealer(Role.SUPERVISOR)
        first.hello = replace(first.hello, incarnation=1)
        first.greet()
        host = bench.host()
        first.say(host.up)
        bench.wait_for(lambda status: len(status["hosts"]) == 1)
        second = bench.dealer(Role.SUPERVISOR)
        second.say(replace(second.hello, incarnation=2))
        refused = second.expect(Refused)
        assert "machine m has a supervisor, which lives" in refused.reason
        second.say(MachineReport(()))
        second.say(replace(LOST, host=host.up.host))
        answered(second)
        assert hosts(bench) == {"h1": 0}
        first.say(MachineReport((HostRow(host.up.host, 3, 1, b""),)))
        bench.wait_for(lambda status: status["hosts"][0]["requests"] == 3)
        first.close()
        second.hello = replace(second.hello, incarnation=2)
        end = time.monotonic() + DEADLINE_S
        answer = None
        while not isinstance(answer, Welcome):
            assert time.monotonic() < end
            second.say(second.hello)
            answer = second.next()
        second.say(MachineReport(()))
        bench.wait_for(lambda status: not status["hosts"])


def test_who_calls_over_and_over_takes_nobodys_place(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        first = bench.dealer(Role.SUPERVISOR)
        first.greet()
        host = bench.host()
        report = MachineReport((HostRow(host.up.host, 3, 1, b""),))
        first.say(host.up)
        for _ in range(MAX_CALLERS - 1):
            command = Dealer(bench.context, bench.endpoint, Role.COMMAND, bench.pulse)
            command.greet()
            command.close()
            first.say(report)
        late = bench.dealer(Role.FRONT)
        late.say(late.hello)
        assert f"{MAX_CALLERS} others have come with" in late.expect(Refused).reason
        first.hello = replace(first.hello, role=Role.COMMAND)
        first.greet()
        first.say(StatusWanted())
        status = json.loads(first.expect(StatusIs).text)
        assert [h["host"] for h in status["hosts"]] == [host.up.host]


@pytest.mark.parametrize("role", [Role.HOST, Role.BROKER])
def test_who_does_not_call_the_broker_is_refused_also_without_keys(
    tmp_path: Path, role: Role
) -> None:
    with Bench(tmp_path) as bench:
        stranger = bench.dealer(role)
        stranger.say(stranger.hello)
        assert "does not call the broker" in stranger.expect(Refused).reason


def test_names_have_a_greatest_length(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        front = bench.dealer(Role.FRONT)
        for hello in (
            replace(front.hello, name="x" * 256),
            replace(front.hello, machine=Machine("x" * 256)),
        ):
            front.say(hello)
            reason = "a name of 256 characters; the limit is 255"
            assert front.expect(Refused) == Refused(reason)
        front.greet()
