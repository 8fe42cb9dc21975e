"""VM hosts of a front, from their announcement to their end, without a socket."""

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import pytest

from fcgi.hosts.vmhosts import (
    ASK_S,
    DRAIN_S,
    MAX_ACCUSED,
    NOTICE_S,
    PATIENCE_S,
    VmHosts,
)
from luafarm.config.settings import PoolSettings, Settings
from luafarm.ends import Budget, Death
from luafarm.names import HostId, Machine, Pool, RequestId, Script
from luafarm.wire import codec
from luafarm.wire.messages import Accuse, HostLost, HostUp, Message, Recall

if TYPE_CHECKING:
    from fcgi.hosts.context import Context

BAD = HostId("bad")


class FakeLink:
    """A connection whose frames the test puts in."""

    taken = 0
    is_refused = False

    def __init__(self, hear: Callable[[bytes], None]) -> None:
        self.reconnects = 0
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

    def reconnect(self) -> None:
        self.reconnects += 1

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

    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.hellos = 0
        self.links: dict[str, FakeLink] = {}
        self.greet: dict[str, Callable[[], None]] = {}
        self.lose: dict[str, Callable[[str], None]] = {}

    def new_hello(self) -> bytes:
        self.hellos += 1
        return b"hello %d" % self.hellos

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
        self.busy = {BAD}  # hosts that have runs
        self.context = FakeContext()
        context = cast("Context", self.context)
        self.hosts = VmHosts(context, Settings(), self, self.said.append)

    def host_found(self, name: HostId) -> None:
        self.told.append(("found", name))

    def host_says(self, name: HostId, frame: bytes) -> None:
        self.told.append(("says", name, frame))
        if frame == b"lie":
            self.hosts.accuse(name, "a lie")

    def host_away(self, name: HostId) -> None:
        self.told.append(("away", name))

    def host_back(self, name: HostId) -> None:
        self.told.append(("back", name))

    def host_unlisted(self, name: HostId) -> None:
        self.told.append(("unlisted", name))

    def host_unreached(self, name: HostId) -> None:
        self.told.append(("unreached", name))

    def has_runs(self, name: HostId) -> bool:
        return name in self.busy

    def host_gone(
        self,
        name: HostId,
        running: RequestId | None,
        begun: tuple[RequestId, ...] | None,
        budget: Budget,
    ) -> None:
        self.told.append(("gone", name, running, begun, budget))

    def break_off(self, why: str = "") -> None:
        """End the connection to the host."""
        self.context.lose["tcp://bad"](why)

    def wait(self, after_s: float) -> list[tuple[object, ...]]:
        """Let time pass; return what was told of it."""
        self.told.clear()
        self.hosts.tick(time.monotonic() + after_s)
        return self.told

    def up(self, name: HostId = BAD, scheme: str = "tcp") -> FakeLink:
        """Announce a host, and forget that it was found."""
        endpoint = f"{scheme}://{name}"
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
    assert link.sent == [b"hello 1"]


GONE_UNKNOWN = ("gone", BAD, 0, None, Budget.NONE)
"""Nobody knows what it had begun."""


def test_what_a_dead_host_sent_is_heard_before_its_end_is_told() -> None:
    stage = Stage()
    link = stage.up()
    stage.context.greet["tcp://bad"]()
    link.frames += [b"1", b"2"]
    stage.hosts.lost(lost(Death.CRASH, 7, (7,)))
    stage.hosts.lost(lost(Death.CRASH, 7, (7,)))  # the broker says the same
    link.frames += [b"3"]  # was on its way: the notice came over another connection
    stage.break_off()
    assert stage.told == [
        ("away", BAD),
        *[("says", BAD, frame) for frame in (b"1", b"2", b"3")],
        ("gone", BAD, 7, (7,), Budget.NONE),
    ]
    assert link.is_closed
    assert link.reconnects == 0
    assert stage.said == []


def test_a_dead_host_whose_connection_does_not_end_is_heard_for_a_while() -> None:
    stage = Stage()
    stage.up()
    stage.context.greet["tcp://bad"]()
    stage.hosts.lost(lost(Death.CRASH, 7, (7,)))
    assert stage.wait(0.0) == []
    assert stage.wait(DRAIN_S + 0.1) == [("gone", BAD, 7, (7,), Budget.NONE)]


def test_one_that_is_accused_while_it_is_heard_out_is_gone_once() -> None:
    stage = Stage()
    link = stage.up()
    stage.context.greet["tcp://bad"]()
    link.frames += [b"lie", b"never heard"]
    stage.hosts.lost(lost(Death.CRASH))
    stage.break_off()
    assert stage.told == [
        ("away", BAD),
        ("says", BAD, b"lie"),
        ("gone", BAD, None, None, Budget.NONE),
    ]
    assert stage.said == [Accuse(BAD, "a lie")]


@pytest.mark.parametrize("running", [0, 7])
def test_of_one_that_broke_the_protocol_only_what_its_supervisor_saw_is_known(
    running: int,
) -> None:
    stage = Stage()
    stage.up()
    stage.hosts.lost(lost(Death.PROTOCOL, running))
    stage.break_off()
    assert stage.told[-1] == ("gone", BAD, running or None, (), Budget.NONE)


def test_a_connection_that_broke_is_made_again_and_accuses_nobody() -> None:
    stage = Stage()
    link = stage.up()
    link.frames += [b"1"]  # came over it before it broke
    stage.break_off()
    assert stage.told == [("says", BAD, b"1"), ("away", BAD)]
    assert link.reconnects == 1
    stage.context.greet["tcp://bad"]()
    assert link.sent == [b"hello 1"]
    stage.hosts.recall(BAD, (RequestId(7),))
    assert codec.decode(link.sent[-1]) == Recall((RequestId(7),))
    stage.hosts.answered(BAD)
    assert stage.wait(10 * ASK_S) == []
    assert stage.said == []


def test_one_at_whose_socket_nobody_listens_is_gone_unless_its_end_is_told() -> None:
    for is_told in (False, True):
        stage = Stage()
        link = stage.up()
        stage.break_off()
        link.is_refused = True
        assert stage.wait(NOTICE_S - 0.1) == []
        if is_told:
            stage.hosts.lost(lost(Death.CRASH, 7))
            assert stage.told[-1] == ("gone", BAD, 7, (), Budget.NONE)
        else:
            assert stage.wait(NOTICE_S + 0.1) == [GONE_UNKNOWN]
        assert [isinstance(m, Accuse) for m in stage.said] == [True] * (not is_told)


def test_the_runs_of_one_that_is_away_for_long_are_answered_once() -> None:
    stage = Stage()
    stage.up()
    stage.break_off()
    assert stage.wait(ASK_S - 0.1) == []
    assert stage.wait(ASK_S + 0.1) == [("unreached", BAD)]
    assert stage.wait(ASK_S + 0.2) == []
    assert stage.said == []  # a cut network is nobody's fault
    stage.context.greet["tcp://bad"]()
    stage.hosts.answered(BAD)
    stage.break_off()
    assert stage.wait(ASK_S + 0.1) == [("unreached", BAD)]


def test_one_that_is_there_and_does_not_answer_is_accused() -> None:
    stage = Stage()
    stage.up()
    stage.break_off()
    stage.context.greet["tcp://bad"]()
    most_s = max(PoolSettings().wall, PoolSettings().load_wall) + PATIENCE_S
    assert stage.wait(most_s - 0.1) == []
    assert stage.said == []
    assert stage.wait(most_s + 0.1) == [("gone", BAD, None, None, Budget.NONE)]
    [accusation] = stage.said
    assert isinstance(accusation, Accuse)


def test_one_of_this_machine_may_be_busy_for_as_long_as_its_longest_run() -> None:
    stage = Stage()
    stage.up(scheme="ipc")
    stage.context.lose["ipc://bad"]("")
    stage.hosts.unlisted(BAD)
    most_s = max(PoolSettings().wall, PoolSettings().load_wall) + PATIENCE_S
    assert stage.wait(most_s - 0.1) == []
    assert stage.said == []
    assert stage.wait(most_s + 0.1) == [("gone", BAD, None, None, Budget.NONE)]
    [accusation] = stage.said
    assert isinstance(accusation, Accuse)


def test_one_that_neither_front_nor_broker_reach_for_long_is_gone() -> None:
    stage = Stage()
    stage.up()
    stage.break_off()
    stage.hosts.unlisted(BAD)
    assert stage.wait(ASK_S - 0.1) == []
    assert stage.wait(ASK_S + 0.1) == [GONE_UNKNOWN]


def test_a_front_that_was_stopped_gives_who_is_away_its_time_anew() -> None:
    stage = Stage()
    stage.up()
    stage.break_off()
    now = time.monotonic()
    stage.told.clear()
    stage.hosts.woke(now + 100.0)
    stage.hosts.tick(now + 100.0 + ASK_S - 0.1)
    assert stage.told == []
    stage.hosts.tick(now + 100.0 + ASK_S + 0.1)
    assert stage.told == [("unreached", BAD)]


def test_one_that_took_nothing_for_a_while_is_used_again_when_it_does() -> None:
    stage = Stage()
    link = stage.up()
    link.is_closed = True
    assert not stage.hosts.send(BAD, b"x")
    assert stage.wait(0.0) == []
    link.is_closed = False
    assert stage.wait(0.0) == [("back", BAD)]
    assert stage.wait(0.0) == []


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


def test_a_host_that_the_broker_does_not_name_goes_when_it_has_answered() -> None:
    stage = Stage()
    link = stage.up()
    stage.hosts.only(set())
    assert stage.told == [("unlisted", BAD)]
    assert stage.wait(100.0) == []
    stage.busy.clear()
    assert stage.wait(0.0) == [GONE_UNKNOWN]
    assert link.is_closed
    assert stage.said == []


def test_a_host_that_the_broker_names_again_stays() -> None:
    stage = Stage()
    link = stage.up()
    stage.hosts.unlisted(BAD)
    assert stage.up() is link
    stage.busy.clear()
    assert stage.wait(0.0) == []


def test_a_host_that_is_met_anew_is_greeted_as_by_another_front() -> None:
    stage = Stage()
    stage.up()
    stage.hosts.unlisted(BAD)
    stage.busy.clear()
    assert stage.wait(0.0) == [GONE_UNKNOWN]  # and with it how many runs it was sent
    link = stage.up()
    for _ in range(2):
        stage.context.greet["tcp://bad"]()
        stage.break_off()
    assert link.sent == [b"hello 2"] * 2


def test_the_fault_of_a_host_that_the_broker_does_not_name_is_forgotten() -> None:
    stage = Stage()
    stage.up()
    stage.hosts.accuse(BAD, "a lie")
    stage.hosts.only(set())
    stage.said.clear()
    stage.up()
    assert stage.said == []
