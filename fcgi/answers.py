"""What VM hosts answer to requests, as clients get it.

What comes from a VM host is hostile until it is checked: here it is counted against
what its scripts may do (`fcgi.dispatch.conduct`), logged, and given to the request's
exchange. ProtocolError is what a host is accused of.
"""

# Impure, compiled.

from collections.abc import Callable
from typing import Final

from fcgi.cgi.refusal import Refusal, of_error
from fcgi.cgi.reply import BadHeaderError
from fcgi.dispatch import conduct
from fcgi.dispatch.actions import Action, Refuse
from fcgi.dispatch.machine import Dispatch
from fcgi.dispatch.stops import Stops
from fcgi.dispatch.tables import Pending
from fcgi.exchange import Exchange
from fcgi.gauges import Gauges
from fcgi.scriptlog import ScriptLog
from luafarm import scripterrors
from luafarm.config.settings import Settings
from luafarm.errors import ProtocolError
from luafarm.names import HostId, RequestId
from luafarm.wire import codec
from luafarm.wire.messages import (
    Body,
    Finished,
    Outcome,
    Part,
    ScriptError,
    StopRow,
    Want,
)

_CUT: Final = ProtocolError("a piece of the reply did not reach the front")


class Answers:
    """Gives the answers of VM hosts to the exchanges of their requests."""

    def __init__(
        self,
        settings: Settings,
        dispatch: Dispatch,
        gauges: Gauges,
        act: Callable[[list[Action]], None],
    ) -> None:
        """act: carries out what dispatch orders."""
        self._dispatch = dispatch
        self._gauges = gauges
        self._act = act
        self._script_log = ScriptLog(settings)
        self._stops = Stops()

    def refuse(self, order: Refuse) -> None:
        """Answer a request without its script's reply."""
        self._refuse(order.pending, order.refusal, order.retry_after_s, order.error)

    def done(
        self,
        name: HostId,
        row: tuple[int, int, bytes, bytes, bytes, bytes, int],
        now: float,
    ) -> None:
        """Take the end of a run. Raise ProtocolError."""
        number, outcome, head, body, log, error, service_us = row
        request = RequestId(number)
        if outcome == Outcome.ABSENT:
            run = self._run(name, request, "an answer")
            if run is None:
                return
            if run.begun:
                raise ProtocolError("no state for a run of which it sent a part")
            self._act(self._dispatch.absent(name, request, now))
            return
        is_ok = outcome == Outcome.OK
        pending = self._dispatch.finish(name, request, service_us, now, ok=is_ok)
        if pending is None:
            self._run(name, request, "an answer")
            return
        if pending.cancelled:
            self._unheard(pending, outcome, body, log, error, service_us)
            return
        try:
            conduct.check_end(pending, body, log)
        except ProtocolError:
            self._refuse(pending, Refusal.BAD_REPLY)
            raise
        if not is_ok:
            self._failed(pending, outcome, error, log, service_us)
            return
        self._end(pending, head, body, log)

    def finished(self, name: HostId, whole: Finished) -> None:
        """Take the end of a reply whose run goes on. Raise ProtocolError."""
        pending = self._run(name, whole.request, "the end of a reply")
        if pending is None:
            return
        head, body, log = whole.head, whole.body, whole.log
        conduct.check_finished(pending, head, body, log)
        if pending.cancelled:
            self._script_log.lines(pending, log)
        else:
            self._end(pending, head, body, log)
        self._dispatch.reply_finished(pending)

    def _end(self, pending: Pending, head: bytes, body: bytes, log: bytes) -> None:
        """Give a client the end of its reply."""
        stderr = self._script_log.lines(pending, log) if log else b""
        exchange = _exchange(pending)
        if pending.begun:
            if head == b"%d" % pending.part_bytes:
                exchange.finish(stderr)
            else:
                self._cut(pending)
            return
        try:
            exchange.reply(head, body, stderr)
        except BadHeaderError as bad:
            if head.isdigit():  # the end of a reply whose pieces were all lost
                self._cut(pending)
            else:
                self._bad_reply(pending, bad)

    def part(self, name: HostId, part: Part) -> None:
        """Take a part of a reply. Raise ProtocolError."""
        pending = self._run(name, part.request, "a part of a reply")
        if pending is None:
            return
        conduct.check_part(pending, part.head, part.chunk, part.log)
        if pending.cancelled:
            self._script_log.lines(pending, part.log)
            return
        log = part.log
        stderr = self._script_log.lines(pending, log) if log else b""
        try:
            _exchange(pending).part(part.head, part.chunk, stderr)
        except BadHeaderError as bad:
            self._bad_reply(pending, bad)
            self._act(self._dispatch.cancel(pending))

    def body(
        self, name: HostId, want: Want, taken: int, send: Callable[[HostId, bytes], int]
    ) -> None:
        """Give a host the piece of a body that it asks for. Raise ProtocolError.

        taken, send: of its connection.
        """
        pending = self._run(name, want.request, "an ask for the body")
        if pending is None:
            return
        conduct.check_want(pending, want, taken)
        data = b""
        if not pending.cancelled:
            exchange = _exchange(pending)
            data = exchange.read_body(want.stream, want.offset, want.max_bytes)
        body = Body(want.request, want.stream, want.offset, data)
        mark = send(name, codec.encode(body))
        conduct.count_piece(pending, want.stream, len(data), mark)

    def take_stops(self) -> tuple[StopRow, ...]:
        """Return which requests a budget stopped, and forget them."""
        return self._stops.take()

    def tick(self, now: float) -> None:
        """Tell what of the scripts' logs was left out; now and then."""
        self._script_log.tick(now)

    def _unheard(
        self,
        pending: Pending,
        outcome: int,
        body: bytes,
        log: bytes,
        error: bytes,
        service_us: int,
    ) -> None:
        """Log what is known of a run whose client has left, or has its reply."""
        conduct.check_end(pending, body, log)
        self._script_log.lines(pending, log)
        if not error:
            return
        why = scripterrors.cut(codec.decode_error(error))
        self._script_log.error(pending, why)
        if why.budget and pending.entry is not None:
            self._stops.note(pending.entry.script, why, service_us)

    def _run(self, name: HostId, request: RequestId, what: str) -> Pending | None:
        """Return a run of this host; None: it is over, and this comes too late.

        Raise ProtocolError when it never had such.
        """
        pending = self._dispatch.run(name, request)
        if pending is None and not self._dispatch.losses.is_late(name, request):
            raise ProtocolError(f"{what} to a request that it does not have")
        return pending

    def _refuse(
        self,
        pending: Pending,
        refusal: Refusal,
        retry_after_s: int = 0,
        error: ScriptError | None = None,
        log: bytes = b"",
    ) -> None:
        if refusal is not Refusal.OVERLOADED:  # dispatch counts those
            self._gauges.errors += 1
        exchange = _exchange(pending)
        stderr = self._script_log.lines(pending, log)
        if error is not None:
            stderr += self._script_log.error(pending, error)
        exchange.refuse(refusal, retry_after_s, error, stderr)

    def _cut(self, pending: Pending) -> None:
        self._script_log.bad_reply(pending, _CUT)
        self._refuse(pending, Refusal.HOST_LOST)

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
