"""Answers of VM hosts on their way to clients, and to the log when nobody waits."""

import logging
from typing import TYPE_CHECKING

import pytest

from fcgi.answers import Answers
from fcgi.cgi.refusal import Refusal
from fcgi.gauges import Gauges
from luafarm.config.settings import Settings
from luafarm.ends import Budget
from luafarm.errors import ProtocolError
from luafarm.wire import codec
from luafarm.wire.messages import Finished, Outcome, Part, ScriptError, Want
from tests.fcgi.dispatch.test_machine import ONE, A, B, front, place, request, shown

if TYPE_CHECKING:
    from fcgi.dispatch.actions import Action
    from fcgi.dispatch.machine import Dispatch
    from fcgi.dispatch.tables import Pending
    from luafarm.names import RequestId

HEAD = b"Status: 200 OK"


class Client:
    """An exchange that keeps what it is told."""

    def __init__(self) -> None:
        self.pending: Pending | None = None
        self.told: list[tuple[object, ...]] = []

    def reply(self, head: bytes, body: bytes, stderr: bytes) -> None:
        self.told.append(("reply", head, body))

    def part(self, head: bytes, chunk: bytes, stderr: bytes) -> None:
        self.told.append(("part", head, chunk))

    def finish(self, stderr: bytes) -> None:
        self.told.append(("finish",))

    def refuse(
        self,
        refusal: Refusal,
        retry_after_s: int = 0,
        error: ScriptError | None = None,
        stderr: bytes = b"",
    ) -> None:
        self.told.append(("refuse", refusal))

    def read_body(self, stream: int, offset: int, max_bytes: int) -> bytes:
        raise AssertionError("nobody asks for this body")


class Farm:
    """A front with one run on a host."""

    def __init__(self) -> None:
        self.acts: list[Action] = []
        self.dispatch: Dispatch = front(A, B)
        self.dispatch.place(place(ONE, A, B), 0.0)
        self.client = Client()
        self.run = request()
        self.run.body_bytes = 10
        self.run.owner = self.client
        self.dispatch.arrive(self.run, 1.0)
        assert self.run.entry is not None
        self.run.entry.reply_bytes, self.run.entry.log_bytes = 100, 50
        self.answers = Answers(
            Settings(), self.dispatch, Gauges(self.dispatch), self.acts.extend
        )
        self.id: RequestId = self.run.id

    def finished(self, head: bytes, body: bytes, log: bytes = b"") -> None:
        self.answers.finished(A, Finished(self.id, head, body, log))

    def done(self, outcome: int, head: bytes, log: bytes, error: bytes = b"") -> None:
        row = (self.id, outcome, head, b"", log, error, 5_000_000)
        self.answers.done(A, row, 9.0)


@pytest.fixture
def farm() -> Farm:
    return Farm()


def test_a_finished_reply_is_answered_while_its_run_keeps_its_host(farm: Farm) -> None:
    farm.finished(HEAD, b"body")
    assert farm.client.told == [("reply", HEAD, b"body")]
    assert farm.dispatch.outstanding == 1
    assert A not in farm.dispatch._hosts.idle()
    farm.done(Outcome.OK, b"4", b"")
    assert farm.dispatch.outstanding == 0
    assert len(farm.client.told) == 1
    farm.dispatch.check()


def test_a_finished_reply_in_parts_is_ended(farm: Farm) -> None:
    farm.answers.part(A, Part(farm.id, HEAD, b"abc", b""))
    farm.finished(b"3", b"")
    assert farm.client.told == [("part", HEAD, b"abc"), ("finish",)]


def test_a_finished_reply_that_lost_a_part_is_cut(farm: Farm) -> None:
    farm.answers.part(A, Part(farm.id, HEAD, b"abc", b""))
    farm.finished(b"5", b"")
    assert farm.client.told[1:] == [("refuse", Refusal.HOST_LOST)]
    farm.done(Outcome.OK, b"5", b"")
    assert len(farm.client.told) == 2


def test_what_is_logged_after_the_reply_is_in_the_log(
    farm: Farm, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    farm.finished(HEAD, b"", b"ibefore\0")
    farm.done(Outcome.OK, b"0", b"iwork done\0")
    assert [r.message.partition(": ")[2] for r in caplog.records] == [
        "before",
        "work done",
    ]


def test_an_error_after_the_reply_is_logged_and_its_budget_counts(
    farm: Farm, caplog: pytest.LogCaptureFixture
) -> None:
    farm.finished(HEAD, b"")
    why = ScriptError("Budget Exceeded", "too slow", "", "", 0, "", Budget.CPU)
    farm.done(Outcome.BUDGET, b"", b"", codec.encode_error(why))
    assert len(farm.client.told) == 1
    assert "too slow" in caplog.text
    assert len(farm.answers.take_stops()) == 1


def test_a_run_without_its_client_is_logged(
    farm: Farm, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    farm.dispatch.cancel(farm.run)
    farm.answers.part(A, Part(farm.id, HEAD, b"abc", b"ione\0"))
    farm.finished(b"3", b"", b"itwo\0")
    farm.done(Outcome.OK, b"3", b"ithree\0")
    assert [r.message[-3:] for r in caplog.records] == ["one", "two", "ree"]
    assert farm.client.told == []


def test_a_reply_is_finished_once_and_then_has_no_parts(farm: Farm) -> None:
    farm.finished(HEAD, b"")
    with pytest.raises(ProtocolError, match="finished twice"):
        farm.finished(HEAD, b"")
    with pytest.raises(ProtocolError, match="a part of a reply that is finished"):
        farm.answers.part(A, Part(farm.id, b"", b"x", b""))


def test_a_finished_reply_has_the_budget_of_replies(farm: Farm) -> None:
    with pytest.raises(ProtocolError, match="101 bytes"):
        farm.finished(HEAD, bytes(101))


def test_the_body_of_a_finished_request_is_gone(farm: Farm) -> None:
    farm.finished(HEAD, b"")
    sent: list[bytes] = []
    farm.answers.body(A, Want(farm.id, 0, 0, 10), 0, lambda _, frame: len(sent) or 1)


def test_a_host_that_dies_under_a_finished_run_is_nobodys_loss(farm: Farm) -> None:
    farm.finished(HEAD, b"")
    assert farm.dispatch.host_lost(A, farm.id, (farm.id,), Budget.WALL, 2.0) == []
    farm.dispatch.check()


def test_a_finished_run_is_wanted_over_another_connection(farm: Farm) -> None:
    farm.finished(HEAD, b"body")
    farm.dispatch.losses.away(A, (), 1.1)
    assert farm.dispatch.losses.wanted(A) == (farm.id,)
    going = {farm.id: 4}
    assert shown(farm.dispatch.losses.recalled(A, 1, going, 1.2)) == []
    farm.done(Outcome.OK, b"4", b"")
    farm.dispatch.check()


def test_a_finished_run_that_is_long_over_its_time_is_given_up(farm: Farm) -> None:
    assert farm.run.entry is not None
    farm.run.entry.wall_s = 1.0
    farm.finished(HEAD, b"")
    assert farm.dispatch.tick(100.0) == []
    farm.done(Outcome.OK, b"0", b"")
    farm.dispatch.check()
