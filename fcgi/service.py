"""The front's service: what takes requests from any source and has them answered.

Joins the decisions of `fcgi.dispatch.machine` with the broker, the VM hosts and the
answers, each of which has an owner: `fcgi.hosts.broker`, `fcgi.hosts.vmhosts` and
`fcgi.answers`. Runs that are decided in one pass of the loop travel in one frame per
host; a lone one goes at once.
"""

# Impure, compiled.

import asyncio
import logging
import secrets
import struct
import time
from collections.abc import Callable
from typing import Final

from fcgi.answers import Answers
from fcgi.cgi.refusal import Refusal
from fcgi.dispatch.actions import Action, CancelRun, Refuse, Send
from fcgi.dispatch.machine import Dispatch
from fcgi.dispatch.tables import Pending
from fcgi.episode import Episode
from fcgi.exchange import Exchange
from fcgi.gauges import Gauges
from fcgi.hosts.broker import Broker
from fcgi.hosts.context import Context
from fcgi.hosts.vmhosts import VmHosts
from luafarm.config.settings import Settings
from luafarm.ends import Budget
from luafarm.errors import ProtocolError
from luafarm.gaps import Gaps
from luafarm.keys import curve
from luafarm.names import HostId, Machine, RequestId
from luafarm.wire import codec
from luafarm.wire.messages import (
    Aliases,
    Cancel,
    Dones,
    Finished,
    HostLost,
    HostUnlisted,
    HostUp,
    Message,
    Part,
    Place,
    Recalled,
    Refused,
    Report,
    RunRow,
    Snapshot,
    Want,
    Welcome,
)

logger = logging.getLogger("luafarm.front")

TICK_S: Final = 0.1
REPORT_S: Final = 1.0  # a report with nothing to say, as a sign of life
_ID_BLOCK: Final = struct.Struct("=512Q")


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
        self._context = Context(loop, name, machine, keys)
        self._dispatch = Dispatch(
            _request_ids(),
            number=number,
            queue=settings.front.queue,
            queue_per_script=settings.front.queue_per_script,
            queue_timeout_s=settings.front.queue_timeout,
            queue_target_s=settings.front.queue_target,
            remembered=settings.broker.missing,
        )
        self.gauges = Gauges(self._dispatch)
        self._answers = Answers(settings, self._dispatch, self.gauges, self._act)
        self._batches: dict[HostId, list[RunRow]] = {}
        self._is_flushing = False
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0.0
        self._last_report = 0.0
        self._overload = Episode()
        self._outage = Episode()
        self._gaps = Gaps(TICK_S)
        self.knows_farm = False  # a broker has told everything
        self._broker = Broker(self._context, broker, self._news)
        self._hosts = VmHosts(self._context, settings, self, self._broker.say)
        self._tick_handle = loop.call_later(TICK_S, self._tick)

    # ---- requests ------------------------------------------------------------------

    def submit(self, exchange: Exchange, arrived: Pending | Refusal) -> None:
        """Take a request; its exchange will hear of it exactly once.

        arrived: what `fcgi.arrival` made of it.
        """
        if not isinstance(arrived, Pending):
            exchange.refuse(arrived)
            return
        self.gauges.requests += 1
        exchange.pending = arrived
        self._act(self._dispatch.arrive(arrived, arrived.arrival))

    def abandon(self, pending: Pending) -> None:
        """Drop or cancel a request whose client went away."""
        self._act(self._dispatch.cancel(pending))

    async def ask(self, path: bytes) -> Place:
        """Return what the broker says of a path, loading the script there."""
        return await self._broker.ask(path)

    def is_ready(self) -> bool:
        """Return whether the farm is known and every VM host answers."""
        return self.knows_farm and self._dispatch.is_ready()

    def has_broker(self) -> bool:
        """Return whether a broker is in contact."""
        return self._broker.term > 0

    def status_page(self) -> bytes:
        """Return what the front's own status page says."""
        return self.gauges.page(has_broker=self.has_broker())

    @property
    def outstanding(self) -> int:
        """Requests without an answer."""
        return self._dispatch.outstanding

    def give_up(self) -> None:
        """Refuse what no VM host has got: there is no time left for it."""
        self._act(self._dispatch.give_up())

    def retire(self) -> None:
        """Have the status say that this front is on its way to its end."""
        self.gauges.is_retiring = True
        self._last_report = 0.0  # the broker is told in a moment

    def close(self) -> None:
        """Close every socket; the broker is told that this front is no more."""
        self._tick_handle.cancel()
        self._report(time.monotonic(), is_last=True)
        self._hosts.close()
        self._broker.close()
        self._context.close()

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
            elif isinstance(action, Refuse):
                self._answers.refuse(action)
            elif isinstance(action, CancelRun):
                if action.host in self._batches:
                    self._flush()  # else the host would hear of the end first
                self._hosts.send(action.host, codec.encode(Cancel(action.request)))
            else:
                self._broker.say(action.message)
        if self._batches and not self._is_flushing:
            self._is_flushing = True
            self._loop.call_soon(self._flush)
        self._set_alarm()

    def _flush(self) -> None:
        self._is_flushing = False
        batches = self._batches
        self._batches = {}
        for name, rows in batches.items():
            if not self._hosts.send(name, codec.encode_runs(rows)):
                self._away(name, rows)

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
        gap_s = self._gaps.tick(now)
        if gap_s:
            self._dispatch.woke(gap_s, now)
            self._hosts.woke(now)
        self._act(self._dispatch.tick(now))
        self._answers.tick(now)
        self._tell_of_refused(now)
        self._hosts.tick(now)
        self._broker.tick(now)
        self._report(now)
        self._tick_handle = self._loop.call_later(TICK_S, self._tick)

    def _report(self, now: float, *, is_last: bool = False) -> None:
        uses, stops = self._dispatch.take_uses(now), self._answers.take_stops()
        if uses or stops or is_last or now - self._last_report >= REPORT_S:
            self._last_report = now
            self._broker.say(Report(uses, self.gauges.rows(), stops, is_last))

    def _tell_of_refused(self, now: float) -> None:
        """Say once that requests are refused, until there was none for a while."""
        if self._overload.begins(self._dispatch.overloaded, now):
            logger.warning(
                "requests are refused as more come than can be served within [front] "
                "queue_target, or queue_timeout; luafarm status counts them: overloaded"
            )
        if self._outage.begins(self._dispatch.unserved, now):
            logger.error(
                "requests are refused as there is no VM host for them; luafarm status "
                "tells of hosts and scripts"
            )

    # ---- the broker ----------------------------------------------------------------

    def _news(self, message: Message) -> None:
        """Take what the broker says."""
        now = time.monotonic()
        match message:
            case Place():
                self._act(self._dispatch.place(message, now))
            case HostUp():
                self._hosts.up(message)
            case HostLost():
                self._hosts.lost(message)
            case HostUnlisted(host):
                self._hosts.unlisted(host)
            case Snapshot(hosts, places, aliases):
                self._dispatch.realign(aliases)
                for up in hosts:
                    self._hosts.up(up)
                self._hosts.only({up.host for up in hosts})
                self._act(self._dispatch.snapshot(places, time.monotonic()))
                self.knows_farm = True
            case Aliases(aliases):
                self._dispatch.realign(aliases)
            case Welcome():
                self._dispatch.retry_broker()
            case _:
                logger.error("broker said %s", type(message).__name__)

    # ---- VM hosts ------------------------------------------------------------------

    def host_found(self, name: HostId) -> None:
        """Take note of a host; see `fcgi.hosts.vmhosts.Owner`."""
        self._dispatch.host_up(name)

    def host_away(self, name: HostId) -> None:
        """Send a host nothing more; its end, or its return, will be told."""
        self._away(name, self._batches.pop(name, []))

    def host_back(self, name: HostId) -> None:
        """Send a host something again."""
        self._act(self._dispatch.host_ready(name, time.monotonic()))

    def host_unlisted(self, name: HostId) -> None:
        """Send a host nothing new."""
        self._dispatch.losses.unlisted(name)

    def host_unreached(self, name: HostId) -> None:
        """Answer the runs of a host that is away for too long, and may live."""
        self._act(self._dispatch.losses.unreached(name, time.monotonic()))

    def has_runs(self, name: HostId) -> bool:
        """Return whether a host has still to answer something."""
        return self._dispatch.losses.has_runs(name)

    def _away(self, name: HostId, unsent: list[RunRow]) -> None:
        requests = tuple([RequestId(row[0]) for row in unsent])
        self._act(self._dispatch.losses.away(name, requests, time.monotonic()))

    def host_gone(
        self,
        name: HostId,
        running: RequestId | None,
        begun: tuple[RequestId, ...] | None,
        budget: Budget,
    ) -> None:
        """Take a host out; see `fcgi.hosts.vmhosts.Owner`."""
        self.host_away(name)
        if running is None:
            running = self._dispatch.oldest_run(name)
        now = time.monotonic()
        self._act(self._dispatch.host_lost(name, running, begun, budget, now))

    def host_says(self, name: HostId, frame: bytes) -> None:
        """Take what a host says, and accuse it of what it may not say."""
        now = time.monotonic()
        try:
            message = codec.decode(frame, codec.REPLY_VALUES)
            if isinstance(message, Dones):
                if not message.rows:
                    self._hosts.conduct(name).idle(now)
                for row in message.rows:
                    self._answers.done(name, row, now)
                self._act(self._dispatch.fill(name, now))
                return
            self._host_message(name, message, now)
        except ProtocolError as error:
            self._hosts.accuse(name, str(error))

    def _host_message(self, name: HostId, message: Message, now: float) -> None:
        match message:
            case Welcome():
                self._hosts.conduct(name).welcome(message)
                wanted = self._dispatch.losses.wanted(name)
                if wanted is None:
                    self._hosts.answered(name)
                    self._act(self._dispatch.host_ready(name, now))
                else:
                    self._hosts.recall(name, wanted)
            case Recalled(received):
                losses = self._dispatch.losses
                asked = self._hosts.conduct(name)
                going = asked.recalled(message, losses.sent(name))
                self._hosts.answered(name)
                self._act(losses.recalled(name, received, going, now))
            case Part():
                self._answers.part(name, message)
            case Finished():
                self._answers.finished(name, message)
            case Want():
                taken = self._hosts.taken(name)
                self._answers.body(name, message, taken, self._hosts.send_piece)
            case Refused(reason):
                self._context.refused(f"host {name}", reason)
            case _:
                raise ProtocolError(f"a VM host said {type(message).__name__}")


def _request_ids() -> Callable[[], int]:
    """Return a source of unguessable request ids, 63 bits each."""
    pool: list[int] = []

    def next_id() -> int:
        if not pool:
            numbers = _ID_BLOCK.unpack(secrets.token_bytes(_ID_BLOCK.size))
            pool.extend([number >> 1 for number in numbers if number > 1])
        return pool.pop()

    return next_id
