"""The front's service: requests in from any source, runs out to VM hosts, replies back.

Joins the decisions of `fcgi.dispatch.machine` with the sockets of `fcgi.hosts.zmqlink`
and `fcgi.hosts.zmtplink`. Runs that are decided in one pass of the loop travel in one
frame per host; a lone one goes at once. What comes from a VM host is hostile until
checked: a host that breaks the protocol is taken out and accused at the broker.
"""

# Impure, compiled.

import asyncio
import logging
import secrets
import struct
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

import zmq

from fcgi.cgi.refusal import Refusal, of_error
from fcgi.cgi.reply import BadHeaderError
from fcgi.dispatch import conduct
from fcgi.dispatch.actions import Action, Answer, CancelRun, Send
from fcgi.dispatch.conduct import Conduct
from fcgi.dispatch.machine import Dispatch
from fcgi.dispatch.stops import Stops
from fcgi.dispatch.tables import Pending
from fcgi.exchange import Exchange
from fcgi.hosts.zmqlink import HOST_HWM, ZmqLink
from fcgi.hosts.zmtplink import ZmtpLink
from fcgi.scriptlog import ScriptLog
from luafarm import scripterrors
from luafarm.config.settings import Settings
from luafarm.errors import ProtocolError
from luafarm.keys import curve
from luafarm.names import HostId, Machine, RequestId
from luafarm.process.complaints import Complaints
from luafarm.wire import codec, loglines
from luafarm.wire.messages import (
    PROTOCOL,
    Accuse,
    Aliases,
    Body,
    Cancel,
    Hello,
    HostLost,
    HostUp,
    Message,
    Miss,
    Outcome,
    Part,
    Place,
    Refused,
    Role,
    RunRow,
    ScriptError,
    Snapshot,
    Want,
    Welcome,
)

logger = logging.getLogger("luafarm.front")

TICK_S: Final = 0.1
REPORT_S: Final = 1.0  # a report with nothing to say, as a sign of life
ASK_S: Final = 0.2  # until a question to a broker that may not be there is repeated
_CUT: Final = ProtocolError("a piece of the reply did not reach the front")
_ID_BLOCK: Final = struct.Struct("=512Q")
NOTICE_S: Final = 0.25  # how long HostLost may come after the connection broke
DRAIN_S: Final = 1.0  # how long a dead host may be heard: as much as a socket holds
MAX_WHY: Final = 300  # characters of what it is accused of
MAX_ACCUSED: Final = 1024  # VM hosts that are remembered: their names never come again

HostLink = ZmqLink | ZmtpLink
"""A connection to a VM host, with keys and without."""

Notices = tuple[str, bytes]
"""Endpoint and key of a supervisor's notices."""


class Service:
    """Everything of a front but its listeners."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        settings: Settings,
        name: str,
        machine: Machine,
        broker: str,
        keys: curve.Keys | None,
        number: int = 0,
    ) -> None:
        """Connect to the broker; number: of this front on its machine, from 0."""
        self._loop = loop
        self._name = name
        self._machine = machine
        self._keys = keys
        self._script_log = ScriptLog(settings)
        self._stops = Stops()
        self._settings = settings
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, 4096)
        self._dispatch = Dispatch(
            _request_ids(),
            number=number,
            queue=settings.front.queue,
            queue_per_script=settings.front.queue_per_script,
            queue_timeout_s=settings.front.queue_timeout,
            remembered=settings.broker.missing,
        )
        self._hosts: dict[HostId, HostLink] = {}
        self._conduct: dict[HostId, Conduct] = {}  # of these
        self._lost: set[HostId] = set()  # dead, and heard to the end
        self._accused: dict[HostId, str] = {}  # why; not heard any more
        #: by endpoint and key: nobody else's words count as a supervisor's
        self._notices: dict[Notices, ZmqLink] = {}
        #: of each host in `_hosts`, whose word of its end counts
        self._mourners: dict[HostId, Notices] = {}
        self._complaints = Complaints()
        self._batches: dict[HostId, list[RunRow]] = {}
        self._asked: dict[bytes, asyncio.Future[Place]] = {}  # `ask` waits for these
        self._is_flushing = False
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0.0
        self._last_report = 0.0
        self.gauges: Callable[[], dict[str, int]] = dict
        self.requests = 0
        self.errors = 0
        self.term = 0  # of the broker in contact; 0: none
        self.knows_farm = False  # a broker has told everything
        self._broker = ZmqLink(
            loop,
            self._context,
            broker,
            "the broker",
            self._complaints,
            self._broker_says,
            self._greet_broker,
            self._broker_lost,
            keys.own if keys else None,
            keys.broker if keys and broker.startswith("tcp://") else b"",
        )
        self._tick_handle = loop.call_later(TICK_S, self._tick)

    # ---- requests ------------------------------------------------------------------

    def submit(self, exchange: Exchange, arrived: Pending | Refusal) -> None:
        """Take a request; its exchange will hear of it exactly once.

        arrived: what `fcgi.arrival` made of it.
        """
        if not isinstance(arrived, Pending):
            exchange.refuse(arrived)
            return
        self.requests += 1
        exchange.pending = arrived
        self._act(self._dispatch.arrive(arrived, time.monotonic()))

    def abandon(self, pending: Pending) -> None:
        """Drop or cancel a request whose client went away."""
        self._act(self._dispatch.cancel(pending))

    async def ask(self, path: bytes) -> Place:
        """Return what the broker says of a path, loading the script there."""
        answer: asyncio.Future[Place] = self._loop.create_future()
        self._asked[path] = answer
        while not answer.done():
            self._broker.send(codec.encode(Miss(path, ())))
            await asyncio.wait({answer}, timeout=ASK_S)
        return answer.result()

    def is_ready(self) -> bool:
        """Return whether the farm is known and every VM host answers."""
        return self.knows_farm and self._dispatch.is_ready()

    @property
    def outstanding(self) -> int:
        """Requests without an answer."""
        return self._dispatch.outstanding

    def close(self) -> None:
        """Close every socket."""
        self._tick_handle.cancel()
        for link in (*self._hosts.values(), *self._notices.values(), self._broker):
            link.close()
        self._context.destroy(linger=0)

    # ---- actions -------------------------------------------------------------------

    def _act(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Send):
                pending = action.pending
                host = pending.host
                assert host is not None
                batch = self._batches.get(host.name)
                if batch is None:
                    self._batches[host.name] = [pending.row()]
                else:
                    batch.append(pending.row())
            elif isinstance(action, Answer):
                self._refuse(
                    action.pending,
                    action.refusal,
                    action.retry_after_s,
                    action.error,
                )
            elif isinstance(action, CancelRun):
                if action.host in self._batches:
                    self._flush()  # else the host would hear of the end first
                link = self._hosts.get(action.host)
                if link is not None:
                    link.send(codec.encode(Cancel(action.request)))
            else:
                self._broker.send(codec.encode(action.message))
        if self._batches and not self._is_flushing:
            self._is_flushing = True
            self._loop.call_soon(self._flush)
        self._set_alarm()

    def _flush(self) -> None:
        self._is_flushing = False
        batches = self._batches
        self._batches = {}
        for name, rows in batches.items():
            link = self._hosts.get(name)
            if link is not None and link.send(codec.encode_runs(rows)):
                continue
            now = time.monotonic()
            self._dispatch.host_suspect(name)
            for row in rows:
                self._act(self._dispatch.absent(name, RequestId(row[0]), now))

    def _set_alarm(self) -> None:
        due = self._dispatch.wake_at()
        if not due or (self._alarm is not None and self._alarm_at <= due):
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = due
        delay = max(0.0, due - time.monotonic())
        self._alarm = self._loop.call_later(delay, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._act(self._dispatch.wake(time.monotonic()))

    def _tick(self) -> None:
        now = time.monotonic()
        self._act(self._dispatch.tick(now))
        self._script_log.tick(now)
        gauges = self.gauges()
        gauges["requests"] = self.requests
        gauges["errors"] = self.errors
        stops = self._stops.take()
        report = replace(self._dispatch.report(now, gauges), stops=stops)
        if report.uses or stops or now - self._last_report >= REPORT_S:
            self._last_report = now
            self._broker.send(codec.encode(report))
        self._tick_handle = self._loop.call_later(TICK_S, self._tick)

    def _refuse(
        self,
        pending: Pending,
        refusal: Refusal,
        retry_after_s: int = 0,
        error: ScriptError | None = None,
        log: bytes = b"",
    ) -> None:
        self.errors += 1
        exchange = _exchange(pending)
        stderr = self._script_log.lines(pending, log)
        if error is not None:
            stderr += self._script_log.error(pending, error)
        exchange.refuse(refusal, retry_after_s, error, stderr)

    # ---- the broker ----------------------------------------------------------------

    def _greet(self, link: HostLink) -> None:
        link.send(codec.encode(Hello(PROTOCOL, Role.FRONT, self._name, self._machine)))

    def _greet_broker(self) -> None:
        self._greet(self._broker)

    def _broker_lost(self, _why: str) -> None:
        if self.term:
            logger.warning("broker lost; warm scripts go on being served")
        self.term = 0

    def _broker_says(self, frame: bytes) -> None:
        try:
            message = codec.decode(frame)
        except ProtocolError as error:
            logger.error("broker: %s", error)  # noqa: TRY400 - its text is the story
            return
        now = time.monotonic()
        match message:
            case Place():
                answer = self._asked.pop(message.asked, None)
                if answer is not None and not answer.done():
                    answer.set_result(message)
                self._act(self._dispatch.place(message, now))
            case HostUp():
                self._host_up(message)
            case HostLost():
                self._host_lost(message)
            case Snapshot(hosts, places, aliases):
                self._dispatch.realign(aliases)
                self._take_snapshot(hosts, places)
            case Aliases(aliases):
                self._dispatch.realign(aliases)
            case Welcome(protocol, _, name, term):
                if protocol != PROTOCOL:
                    logger.error(
                        "broker %s speaks protocol %d; this front speaks %d",
                        name,
                        protocol,
                        PROTOCOL,
                    )
                    return
                logger.info("broker found term=%d", term)
                self.term = term
                self._dispatch.retry_broker()
            case Refused(reason):
                self._refused("the broker", reason)
            case _:
                logger.error("broker said %s", type(message).__name__)

    def _refused(self, whom: str, reason: str) -> None:
        """Tell the log that we are not let in."""
        text = f"{whom} refuses this front: {reason}"
        line = self._complaints.line(f"{whom} refuses", text, time.monotonic())
        if line:
            logger.error("%s", line)

    def _take_snapshot(
        self, hosts: tuple[HostUp, ...], places: tuple[Place, ...]
    ) -> None:
        named = {host.host for host in hosts}
        for host in hosts:
            self._host_up(host)
        for name in [name for name in self._hosts if name not in named]:
            self._forget_host(name, RequestId(0), (), "unknown to the broker")
        for name in [name for name in self._accused if name not in named]:
            del self._accused[name]
        self._act(self._dispatch.snapshot(places, time.monotonic()))
        self.knows_farm = True

    # ---- VM hosts ------------------------------------------------------------------

    def _host_up(self, up: HostUp) -> None:
        name = up.host
        why = self._accused.get(name)
        if why is not None:  # nobody has heard: the broker was away, or is a new one
            self._broker.send(codec.encode(Accuse(name, why)))
            return
        is_open = up.endpoint.startswith("tcp://") and not up.server_key
        if is_open and self._keys is not None:
            self._refused(f"machine {up.machine}", f"host {name} has no key")
            return
        if not self._dispatch.host_up(name):
            return
        self._conduct[name] = Conduct()
        link = self._connect(up)
        self._hosts[name] = link
        notices = (up.notices, up.notices_key)
        self._mourners[name] = notices
        if up.notices and notices not in self._notices:
            self._listen(up, notices)

    def _connect(self, up: HostUp) -> HostLink:
        name = up.host

        def hear(frame: bytes) -> None:
            self._host_says(name, frame)

        def greet() -> None:
            self._conduct[name].greet()
            self._greet(link)

        def lose(why: str) -> None:
            self._connection_lost(name, why)

        largest = conduct.longest_frame(self._settings, up.pool)
        link: HostLink
        if up.server_key:
            own = self._keys.own if self._keys else None
            link = ZmqLink(
                self._loop,
                self._context,
                up.endpoint,
                f"a VM host of machine {up.machine}",
                self._complaints,
                hear,
                greet,
                lose,
                own,
                up.server_key,
                HOST_HWM,
                largest,
            )
        else:
            link = ZmtpLink(self._loop, up.endpoint, hear, greet, lose, largest)
        return link

    def _listen(self, up: HostUp, notices: Notices) -> None:
        """Connect to the notices of a supervisor."""
        link = ZmqLink(
            self._loop,
            self._context,
            up.notices,
            f"the supervisor of machine {up.machine}",
            self._complaints,
            lambda frame: self._supervisor_says(notices, frame),
            lambda: self._greet(link),
            lambda _: None,
            self._keys.own if self._keys else None,
            up.notices_key,
        )
        self._notices[notices] = link

    def _supervisor_says(self, notices: Notices, frame: bytes) -> None:
        try:
            message = codec.decode(frame)
        except ProtocolError as error:
            logger.error("supervisor: %s", error)  # noqa: TRY400
            return
        if isinstance(message, Refused):
            self._refused(f"the supervisor at {notices[0]}", message.reason)
        elif (
            isinstance(message, HostLost)
            and self._mourners.get(message.host) == notices
        ):
            self._host_lost(message)

    def _connection_lost(self, name: HostId, why: str) -> None:
        """Take note that a connection is over; why: its host broke the protocol."""
        if why:
            self._accuse(name, why)
            return
        self._dispatch.host_suspect(name)
        self._loop.call_later(NOTICE_S, self._give_up, name)

    def _give_up(self, name: HostId) -> None:
        """Take out a host of which nobody has said how it ended.

        If it lives it is of no use to this front any more: its identity and endpoint
        are never used twice. So it is to be replaced.
        """
        self._broker.send(codec.encode(Accuse(name, "its connection to a front broke")))
        oldest = self._dispatch.oldest_run(name)
        self._forget_host(name, oldest, (oldest,), "connection lost")

    def _accuse(self, name: HostId, why: str) -> None:
        """Have a host killed that broke the protocol, and hear no more of it."""
        if name not in self._hosts:
            return
        why = loglines.printable(why[:MAX_WHY])  # it may quote the host
        logger.error("host %s broke the protocol: %s", name, why)
        if len(self._accused) >= MAX_ACCUSED:
            del self._accused[next(iter(self._accused))]
        self._accused[name] = why
        self._broker.send(codec.encode(Accuse(name, why)))
        oldest = self._dispatch.oldest_run(name)
        self._forget_host(name, oldest, (oldest,), "protocol")

    def _host_lost(self, lost: HostLost) -> None:
        self._accused.pop(lost.host, None)
        if lost.host in self._hosts and lost.host not in self._lost:
            logger.info(
                "host lost host=%s reason=%s script=%s",
                lost.host,
                lost.reason,
                loglines.printable(lost.script.decode("utf-8", "replace")),
            )
            # what it sent before it died is still an answer
            self._dispatch.host_suspect(lost.host)
            self._lost.add(lost.host)
            until = time.monotonic() + DRAIN_S
            self._hosts[lost.host].drain(until, partial(self._bury, lost))

    def _bury(self, lost: HostLost) -> None:
        """Take out a dead host that has been heard to the end."""
        running, begun = lost.running, lost.begun
        if lost.reason == "protocol" and not running:
            # it may have hidden what it ran: do not give the next one the same
            running = self._dispatch.oldest_run(lost.host)
            begun = (running,)
        self._forget_host(lost.host, running, begun, lost.reason)

    def _forget_host(
        self,
        name: HostId,
        running: RequestId,
        begun: tuple[RequestId, ...],
        reason: str,
    ) -> None:
        link = self._hosts.pop(name, None)
        if link is None:
            return
        self._mourners.pop(name, None)
        link.close()
        del self._conduct[name]
        self._lost.discard(name)
        self._batches.pop(name, None)
        now = time.monotonic()
        self._act(self._dispatch.host_lost(name, running, begun, reason, now))

    def _host_says(self, name: HostId, frame: bytes) -> None:
        now = time.monotonic()
        try:
            value = codec.unpack(frame, codec.REPLY_VALUES)
            if value[0] == codec.DONES:
                rows = codec.done_rows(value)
                if not rows:
                    self._conduct[name].idle(now)
                for row in rows:
                    self._done(name, row, now)
                self._act(self._dispatch.fill(name, now))
                return
            message = codec.build(value)
            self._host_message(name, message, now)
        except ProtocolError as error:
            self._accuse(name, str(error))

    def _host_message(self, name: HostId, message: Message, now: float) -> None:
        match message:
            case Welcome():
                self._conduct[name].welcome(message)
                self._act(self._dispatch.host_ready(name, now))
            case Part(request, head, chunk, log):
                pending = self._run(name, request, "a part of a reply")
                conduct.check_part(pending, head, chunk, log)
                if not pending.cancelled:
                    self._part(pending, head, chunk, log)
            case Want():
                self._want(name, message)
            case Refused(reason):
                self._refused(f"host {name}", reason)
            case _:
                raise ProtocolError(f"a VM host said {type(message).__name__}")

    def _run(self, name: HostId, request: RequestId, what: str) -> Pending:
        """Return a run of this host. Raise ProtocolError when it has no such."""
        pending = self._dispatch.run(name, request)
        if pending is None:
            raise ProtocolError(f"{what} to a request that it does not have")
        return pending

    def _want(self, name: HostId, want: Want) -> None:
        """Send a host a piece of a body."""
        pending = self._run(name, want.request, "an ask for the body")
        link = self._hosts[name]
        conduct.check_want(pending, want, link.taken)
        data = b""
        if not pending.cancelled:
            exchange = _exchange(pending)
            data = exchange.read_body(want.stream, want.offset, want.max_bytes)
        body = Body(want.request, want.stream, want.offset, data)
        mark = link.send_piece(codec.encode(body))
        conduct.count_piece(pending, want.stream, len(data), mark)

    def _done(
        self,
        name: HostId,
        row: tuple[int, int, bytes, bytes, bytes, bytes, int],
        now: float,
    ) -> None:
        number, outcome, head, body, log, error, service_us = row
        request = RequestId(number)
        if outcome == Outcome.ABSENT:
            self._run(name, request, "an answer")
            self._act(self._dispatch.absent(name, request, now))
            return
        is_ok = outcome == Outcome.OK
        pending = self._dispatch.finish(name, request, service_us, now, ok=is_ok)
        if pending is None:
            raise ProtocolError("an answer to a request that it does not have")
        if pending.cancelled:
            return
        try:
            conduct.check_end(pending, body, log)
        except ProtocolError:
            self._refuse(pending, Refusal.BAD_REPLY)
            raise
        if is_ok:
            stderr = self._script_log.lines(pending, log) if log else b""
            exchange = _exchange(pending)
            if pending.begun:
                if head == b"%d" % pending.part_bytes:
                    exchange.finish(stderr)
                else:
                    self._script_log.bad_reply(pending, _CUT)
                    self._refuse(pending, Refusal.HOST_LOST)
                return
            try:
                exchange.reply(head, body, stderr)
            except BadHeaderError as bad:
                self._bad_reply(pending, bad)
            return
        self._failed(pending, outcome, error, log, service_us)

    def _part(self, pending: Pending, head: bytes, chunk: bytes, log: bytes) -> None:
        stderr = self._script_log.lines(pending, log) if log else b""
        try:
            _exchange(pending).part(head, chunk, stderr)
        except BadHeaderError as bad:
            self._bad_reply(pending, bad)
            self._act(self._dispatch.cancel(pending))

    def _bad_reply(self, pending: Pending, error: BadHeaderError) -> None:
        self._script_log.bad_reply(pending, error)
        self._refuse(pending, Refusal.BAD_REPLY)

    def _failed(
        self,
        pending: Pending,
        outcome: int,
        error: bytes,
        log: bytes,
        service_us: int,
    ) -> None:
        if outcome == Outcome.CANCELLED:
            self._refuse(pending, Refusal.HOST_LOST, log=log)
            return
        try:
            why = scripterrors.cut(codec.decode_error(error))
        except ProtocolError:
            self._refuse(pending, Refusal.BAD_REPLY, log=log)
            raise
        if why.budget and pending.entry is not None:
            self._stops.note(pending.entry.script, why, service_us)
        self._refuse(pending, of_error(why), error=why, log=log)


def _exchange(pending: Pending) -> Exchange:
    exchange: Exchange = pending.owner  # type: ignore[assignment]
    return exchange


def _request_ids() -> Callable[[], int]:
    """Return a source of unguessable request ids, 63 bits each."""
    pool: list[int] = []

    def next_id() -> int:
        if not pool:
            numbers = _ID_BLOCK.unpack(secrets.token_bytes(_ID_BLOCK.size))
            pool.extend([number >> 1 for number in numbers if number > 1])
        return pool.pop()

    return next_id
