"""VM hosts of a front, from their announcement to their end, without a socket."""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import pytest

from fcgi.hosts.vmhosts import MAX_ACCUSED, VmHosts
from luafarm.config.settings import Settings
from luafarm.ends import Budget, Death
from luafarm.names import HostId, Machine, Pool, RequestId, Script
from luafarm.wire.messages import Accuse, HostLost, HostUp, Message

if TYPE_CHECKING:
    from fcgi.hosts.context import Context

BAD = HostId("bad")


class FakeLink:
    """A connection whose frames the test puts in."""

    taken = 0

    def __init__(self, hear: Callable[[bytes], None]) -> None:
        self.frames: deque[bytes] = deque()
        self.sent: list[bytes] = []
        self.is_closed = False
        self._hear = hear

    def send(self, frame: bytes) -> bool:
        self.sent.append(frame)
        return not self.is_closed

    def hear_next(self) -> bool:
        if self.is_closed or not self.frames:
            return False
        self._hear(self.frames.popleft())
        return True

    def close(self) -> None:
        self.is_closed = True


class FakeLoop:
    """Keeps what is to be called."""

    def __init__(self) -> None:
        self.due: deque[Callable[[], object]] = deque()

    def call_soon(self, call: Callable[..., object], *given: object) -> None:
        self.due.append(lambda: call(*given))

    def call_later(
        self, _s: float, call: Callable[..., object], *given: object
    ) -> None:
        self.due.append(lambda: call(*given))

    def run(self) -> None:
        while self.due:
            self.due.popleft()()


class FakeContext:
    """Makes fake connections."""

    keys = None
    hello = b"hello"

    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.links: dict[str, FakeLink] = {}
        self.greet: dict[str, Callable[[], None]] = {}
        self.lose: dict[str, Callable[[str], None]] = {}

    def connect(
        self,
        endpoint: str,
        _key: bytes,
        _whom: str,
        hear: Callable[[bytes], None],
        greet: Callable[[], None],
        lose: Callable[[str], None],
        *_: object,
    ) -> FakeLink:
        self.greet[endpoint], self.lose[endpoint] = greet, lose
        self.links[endpoint] = FakeLink(hear)
        return self.links[endpoint]


class Stage:
    """The hosts, and all that is told of them, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []
        self.said: list[Message] = []
        self.context = FakeContext()
        context = cast("Context", self.context)
        self.hosts = VmHosts(context, Settings(), self, self.said.append)

    def host_found(self, name: HostId) -> None:
        self.told.append(("found", name))

    def host_says(self, name: HostId, frame: bytes) -> None:
        self.told.append(("says", name, frame))
        if frame == b"lie":
            self.hosts.accuse(name, "a lie")

    def host_suspect(self, name: HostId) -> None:
        self.told.append(("suspect", name))

    def host_gone(
        self,
        name: HostId,
        running: RequestId | None,
        begun: tuple[RequestId, ...],
        budget: Budget,
    ) -> None:
        self.told.append(("gone", name, running, begun, budget))

    def up(self, name: HostId = BAD) -> FakeLink:
        """Announce a host, and forget that it was found."""
        endpoint = f"tcp://{name}"
        key, machine = b"k" * 32, Machine("m")
        self.hosts.up(
            HostUp(name, Pool("p"), machine, endpoint, key, "", b"", (), (), 1, 1)
        )
        self.told.clear()
        return self.context.links[endpoint]


def lost(reason: Death, running: int = 0, begun: tuple[int, ...] = ()) -> HostLost:
    ids = tuple(RequestId(one) for one in begun)
    return HostLost(BAD, RequestId(running), ids, Script(b"/a.lua"), reason, "")


def test_a_host_is_greeted_once_it_is_reached() -> None:
    stage = Stage()
    link = stage.up()
    assert link.sent == []
    stage.context.greet["tcp://bad"]()
    assert link.sent == [b"hello"]


def test_what_a_dead_host_sent_is_heard_before_its_end_is_told() -> None:
    stage = Stage()
    link = stage.up()
    link.frames += [b"1", b"2", b"3"]
    stage.hosts.lost(lost(Death.CRASH, 7, (7,)))
    stage.hosts.lost(lost(Death.CRASH, 7, (7,)))  # the broker says the same
    stage.context.loop.run()
    assert stage.told == [
        ("suspect", BAD),
        *[("says", BAD, frame) for frame in (b"1", b"2", b"3")],
        ("gone", BAD, 7, (7,), Budget.NONE),
    ]
    assert link.is_closed
    assert stage.said == []


def test_one_that_is_accused_while_it_is_heard_out_is_gone_once() -> None:
    stage = Stage()
    link = stage.up()
    link.frames += [b"lie", b"never heard"]
    stage.hosts.lost(lost(Death.CRASH))
    stage.context.loop.run()
    assert stage.told == [
        ("suspect", BAD),
        ("says", BAD, b"lie"),
        ("gone", BAD, None, (), Budget.NONE),
    ]
    assert stage.said == [Accuse(BAD, "a lie")]


@pytest.mark.parametrize("running", [0, 7])
def test_of_one_that_broke_the_protocol_only_what_its_supervisor_saw_is_known(
    running: int,
) -> None:
    stage = Stage()
    stage.up()
    stage.hosts.lost(lost(Death.PROTOCOL, running))
    assert stage.told[-1] == ("gone", BAD, running or None, (), Budget.NONE)


def test_a_connection_that_broke_ends_a_host_unless_its_end_is_told_meanwhile() -> None:
    for is_told in (False, True):
        stage = Stage()
        stage.up()
        stage.context.lose["tcp://bad"]("")
        if is_told:
            stage.hosts.lost(lost(Death.CRASH, 7))
        stage.context.loop.run()
        [gone] = [told for told in stage.told if told[0] == "gone"]
        expected = (7, (), Budget.NONE) if is_told else (None, (), Budget.NONE)
        assert gone[2:] == expected
        assert [isinstance(m, Accuse) for m in stage.said] == [True] * (not is_told)


def test_an_accused_host_is_not_heard_again_but_accused_again() -> None:
    stage = Stage()
    stage.up()
    stage.hosts.accuse(BAD, "a lie")
    stage.up()
    assert stage.said == [Accuse(BAD, "a lie")] * 2
    assert not stage.hosts.send(BAD, b"x")
    stage.hosts.lost(lost(Death.PROTOCOL))  # it is dead: nobody to accuse
    assert stage.told == []


def test_accusations_that_are_remembered_are_bounded() -> None:
    stage = Stage()
    names = [HostId(f"h{n}") for n in range(MAX_ACCUSED + 1)]
    for name in names:
        stage.up(name)
        stage.hosts.accuse(name, "a lie")
    stage.said.clear()
    for name in (names[0], names[-1]):
        stage.up(name)
    assert stage.said == [Accuse(names[-1], "a lie")]


def test_a_host_that_the_broker_does_not_name_is_forgotten_as_is_its_fault() -> None:
    stage = Stage()
    stage.up()
    stage.up(HostId("liar"))
    stage.hosts.accuse(HostId("liar"), "a lie")
    stage.told.clear()
    stage.hosts.only(set())
    assert stage.told == [("gone", BAD, 0, (), Budget.NONE)]
    stage.said.clear()
    stage.up(HostId("liar"))
    assert stage.said == []
