"""How the peer of a DEALER takes it: real sockets, with time as the test says."""

import logging
import time
from collections.abc import Callable, Iterator
from math import inf

import pytest
import zmq

from luafarm.keys import curve
from luafarm.keys.badges import Badge, Badges
from luafarm.keys.curve import KeyPair
from luafarm.keys.handshakes import FIRST_PAUSE_S, LONGEST_PAUSE_S, Change, Handshakes
from luafarm.keys.zap import ZapHandler
from luafarm.names import Machine
from luafarm.process.complaints import Complaints
from luafarm.wire.messages import Role

Socket = zmq.Socket[bytes]

PATIENCE_S = 120.0
SERVER, OURS = curve.fresh(), curve.fresh()
MINE = KeyPair(OURS.public, OURS.secret, "/keys/fcgi.secret")


class Meeting:
    """A server that may be exchanged, and a client that calls it."""

    def __init__(self) -> None:
        self.context: zmq.Context[Socket] = zmq.Context()
        self.endpoint = "tcp://127.0.0.1:*"
        self.now = 1000.0
        self.changes: list[Change] = []
        self.failures = 0
        self._theirs: zmq.Context[Socket] | None = None
        self._zap: ZapHandler | None = None
        self._server: Socket | None = None
        self._client: Socket | None = None
        self.calls: Handshakes | None = None

    def serve(self, *allowed: bytes, pair: KeyPair | None = SERVER) -> None:
        """Be the server, in place of the last one."""
        self.end()
        badges = [Badge(key, Role.FRONT, Machine(""), "fcgi.public") for key in allowed]
        self._theirs = zmq.Context()  # its end frees the endpoints at once
        self._zap = ZapHandler(self._theirs, Badges(badges), Role.FRONT)
        self._server = self._theirs.socket(zmq.ROUTER)
        if pair is not None:
            curve.serve(self._server, pair)
        self._server.bind(self.endpoint)
        self.endpoint = self._server.getsockopt_string(zmq.LAST_ENDPOINT)

    def end(self) -> None:
        if self._zap is not None:
            self._zap.close()
        if self._theirs is not None:
            self._theirs.destroy(linger=0)
        self._zap = self._server = self._theirs = None

    def call(self, pair: KeyPair | None = MINE, server: bytes = SERVER.public) -> None:
        """Be the client."""
        self._client = self.context.socket(zmq.DEALER)
        self._client.reconnect_ivl = 10
        if pair is not None:
            curve.connect(self._client, pair, server)
        complaints = Complaints()
        self.calls = Handshakes(
            self._client, self.endpoint, "the broker", pair, complaints
        )

    def until(self, claim: Callable[[], bool]) -> None:
        """Work both ends until something is so; the client is never tried again."""
        assert self.calls is not None
        end = time.monotonic() + PATIENCE_S
        while not claim():
            assert time.monotonic() < end, "it never is"
            if self._zap is not None:
                self._zap.handle()
            self.changes += self.calls.read(self.now)
            time.sleep(0.002)

    def fail(self) -> float:
        """Try again when it is due; return the pause after the failure."""
        assert self.calls is not None
        calls = self.calls
        if calls.due_at != inf:
            self.now = calls.due_at
            calls.retry(self.now)
        self.until(lambda: calls.due_at != inf)
        return calls.due_at - self.now

    def close(self) -> None:
        self.end()
        if self.calls is not None:
            self.calls.close()
        self.context.destroy(linger=0)


@pytest.fixture
def meeting() -> Iterator[Meeting]:
    made = Meeting()
    yield made
    made.close()


def test_a_connection_that_is_made_and_lost_is_told(meeting: Meeting) -> None:
    meeting.serve(MINE.public)
    meeting.call()
    meeting.until(lambda: meeting.changes == [Change.MADE])
    meeting.end()
    meeting.until(lambda: meeting.changes == [Change.MADE, Change.LOST])


UNKNOWN = (
    f"does not let in the owner of /keys/fcgi.secret, public key {MINE.public.decode()}"
)
NONE = "lets nobody in without a key: [security] keys names none here"
NOT_WANTED = "speaks without keys, which /keys/fcgi.secret is for"
CUT = (
    "ends the handshake with /keys/fcgi.secret: it takes no keys, or has not the "
    "secret of the public key that is known of it here"
)
CUT_WITHOUT = "ends the handshake: it may want a key, and [security] keys names none"


# where one end closes first libzmq cannot say more than that
@pytest.mark.parametrize(
    ("pair", "allowed", "server", "texts"),
    [
        (MINE, (), SERVER, {UNKNOWN}),
        (None, (), SERVER, {NONE, CUT_WITHOUT}),
        (MINE, (), None, {NOT_WANTED, CUT}),
        (MINE, (MINE.public,), curve.fresh(), {CUT}),
    ],
    ids=["unknown", "none", "not wanted", "another broker"],
)
def test_who_is_turned_away_says_why_once_and_tries_again_ever_more_slowly(
    meeting: Meeting,
    caplog: pytest.LogCaptureFixture,
    pair: KeyPair | None,
    allowed: tuple[bytes, ...],
    server: KeyPair | None,
    texts: set[str],
) -> None:
    meeting.serve(*allowed, pair=server)
    meeting.call(pair)
    with caplog.at_level(logging.ERROR, "luafarm.handshakes"):
        pauses = [meeting.fail() for _ in range(8)]
    assert pauses == sorted(pauses)
    assert pauses[0] == pytest.approx(FIRST_PAUSE_S)
    assert pauses[-1] == pytest.approx(LONGEST_PAUSE_S)
    ours = [r.message for r in caplog.records if r.name == "luafarm.handshakes"]
    assert len(ours) == 1
    assert ours[0].removeprefix(f"the broker at {meeting.endpoint} ") in texts
    assert meeting.changes == []  # nothing was made, and so nothing lost


def test_a_key_that_is_let_in_later_gets_in(meeting: Meeting) -> None:
    meeting.serve()
    meeting.call()
    for _ in range(2):
        meeting.fail()
    meeting.serve(MINE.public)
    assert meeting.calls is not None
    meeting.now = meeting.calls.due_at
    meeting.calls.retry(meeting.now)
    meeting.until(lambda: meeting.changes == [Change.MADE])
    assert meeting.calls.due_at == inf


def test_a_server_that_ends_is_no_reason_to_complain(
    meeting: Meeting, caplog: pytest.LogCaptureFixture
) -> None:
    meeting.serve(MINE.public)
    meeting.call()
    meeting.until(lambda: meeting.changes == [Change.MADE])
    meeting.serve(MINE.public)
    meeting.until(lambda: meeting.changes == [Change.MADE, Change.LOST, Change.MADE])
    assert caplog.records == []
