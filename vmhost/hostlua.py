"""The Lua states of a VM host, and its conversation with the script that runs.

A script that asks for something (a module, a piece of the body, time to sleep) waits
here, while frames go on being heard. Whatever it waits for ends with its wall-clock
budget or with the client; what it computes ends by Lua's hook or by the kernel timer.
"""

import logging
import os
import time
from typing import Final

from luafarm import wire
from luafarm.loglines import decode, printable
from luafarm.messages import Body, DoneRow, Limits, NeedKind, Outcome, RunRow, Source
from luafarm.names import TERM_SHIFT
from vmhost.dialect import choose
from vmhost.held import Held
from vmhost.hostconfig import HostConfig
from vmhost.hosterror import CANCELLED, MEMORY, WALL, failure, full_error, log_of
from vmhost.hostmachine import HostMachine
from vmhost.hostmail import Mail
from vmhost.hosttimer import DeadMan
from vmhost.luastate import LuaState, StateLimits
from vmhost.operation import Flat, Op, Step
from vmhost.scoreboard import HostSlot

logger = logging.getLogger(f"luafarm.{__name__}")

SHUTDOWN_NS: Final = 1_000_000_000  # for what a `shutdown` hook waits
FULL: Final = 0.9  # of the host's memory: nothing more is loaded
BROKEN: Final = "broken"  # `LuaState.must_close` of a state that broke its protocol

_ASK_AGAIN_NS: Final = 1_000_000_000  # the broker may be a new one
_KINDS: Final = {
    Op.REQUIRE: NeedKind.MODULE,
    Op.CHUNK: NeedKind.CHUNK,
    Op.FILE: NeedKind.FILE,
}
_DONE: Final = int(Op.DONE)
_ERROR: Final = int(Op.ERROR)
_GENERATION: Final = (1 << TERM_SHIFT) - 1
_TOO_LITTLE: Final = b"not enough memory for a Lua state"
_NO_MEMORY: Final[Step] = (
    _ERROR,
    b"Memory Error",
    _TOO_LITTLE,
    b"",
    b"",
    0,
    b"",
    True,
    b"memory",
)
_NOT_FOUND: Final = b"no such file under the script roots"


class BrokenStateError(Exception):
    """A Lua state broke its protocol: this process is not to be trusted any more."""


class LuaStates:
    """Owns the states; who wants what of them is the machine's."""

    def __init__(
        self, config: HostConfig, machine: HostMachine, mail: Mail, slot: HostSlot
    ) -> None:
        self.deadman = DeadMan()
        self.spent: dict[Held, None] = {}  # want a fresh state for the next request
        self._config = config
        self._machine = machine
        self._dialogue = machine.dialogue
        self._outbox = machine.peers.outbox
        self._mail = mail
        self._slot = slot
        self._dialect = choose(config.dialect, trusted=config.trusted, jit=config.jit)
        self._states: dict[Held, LuaState] = {}
        self._memory_bytes = 0  # of all of them, each as of its last run
        self._made = 0
        self._cpu_ns = 0  # of this thread, when the last run ended

    def gauge(self) -> None:
        """Tell the supervisor how many states there are and what they use."""
        self._slot.gauge(len(self._states), self._memory_bytes)

    # ---- runs ----------------------------------------------------------------------

    def run(self, row: RunRow, now_ns: int) -> int:
        """Serve a request with the state that the machine found; return the time."""
        held = self._dialogue.held
        assert held is not None
        until_ns = now_ns + held.wall_ns
        state = self._states.get(held)
        if state is None:  # fresh, and there was no time to make it before
            until_ns += held.load_wall_ns
            self._slot.begin(row[0], row[1], now_ns, until_ns)
            state, step, stop = self._make(held, now_ns)
            if state is None or step[0] != _DONE or stop:
                self._finish(held, row, step, stop, now_ns)
                self.spent[held] = None
                self._dispose(held, state)
                return time.monotonic_ns()
            held.preface = log_of(step)
            self.deadman.arm(held.budget, time.monotonic_ns())
        else:
            self._slot.begin(row[0], row[1], now_ns, until_ns)
            self.deadman.arm(held.budget, now_ns)
        stop = ""
        step = state.run(row[4], row[5], row[6], row[7])
        has_waited = step[0] > _ERROR
        if has_waited:
            step, stop = self._converse(state, step, until_ns, row)
        end_ns = self._finish(held, row, step, stop, now_ns, has_waited)
        if state.must_close or stop == WALL or held.limits.fresh:
            self._end_state(held, state, state.must_close or stop)
            return time.monotonic_ns()
        used_bytes = state.memory_bytes
        self._memory_bytes += used_bytes - held.memory_bytes
        held.memory_bytes = used_bytes
        if self._memory_bytes > self._config.max_bytes:
            self._relieve()
        return end_ns

    def _finish(
        self,
        held: Held,
        row: RunRow,
        step: Step,
        stop: str,
        now_ns: int,
        has_waited: bool = True,
    ) -> int:
        """Hand the reply on; return the time at which the run ended.

        What a run that waited for nothing took is counted in CPU time since the last
        one: fronts plan with it, and a busy machine must not make quick scripts look
        slow.
        """
        end_ns = time.monotonic_ns()
        used_ns = end_ns - now_ns
        cpu_ns = time.thread_time_ns()
        if not has_waited:
            used_ns = min(used_ns, cpu_ns - self._cpu_ns)
        self._cpu_ns = cpu_ns
        if step[0] == _DONE and not stop:
            _, head, body, log = step
            if held.preface:
                log, held.preface = held.preface + log, b""
            done: DoneRow = (row[0], 0, head, body, log, b"", used_ns // 1000)
        else:
            done = self._failed_row(held, row[0], step, stop, used_ns // 1000)
        self._machine.finish(done, end_ns, used_ns)
        if self._outbox:
            self._mail.send()
        self._slot.end(end_ns)
        return end_ns

    def _failed_row(
        self, held: Held, request: int, step: Step, stop: str, used_us: int
    ) -> DoneRow:
        log, held.preface = held.preface + log_of(step), b""
        if stop == CANCELLED:
            return request, Outcome.CANCELLED, b"", b"", log, b"", used_us
        error = failure(step, held, stop, held.limits.wall_ms)
        outcome = Outcome.BUDGET if error.budget else Outcome.ERROR
        return request, outcome, b"", b"", log, wire.encode_error(error), used_us

    def _end_state(self, held: Held, state: LuaState, reason: str) -> None:
        """Close a state that does not outlive its run."""
        if self._states.pop(held, None) is not None:
            self._memory_bytes -= held.memory_bytes
        if not state.must_close and reason != WALL:
            self._shut_down(held, state)
        self._dispose(held, state)
        if held.limits.fresh:
            self.spent[held] = None
        else:
            self._machine.expel(held, reason)
            self._mail.send()

    def _relieve(self) -> None:
        """Close states, the largest first, until the rest fit."""
        while self._memory_bytes > self._config.max_bytes:
            largest = max(self._states, key=lambda held: held.memory_bytes)
            self.close(largest, MEMORY)
        self._mail.send()

    # ---- loading and closing -------------------------------------------------------

    def load(self, now_ns: int) -> None:
        """Make the state that the machine was asked for."""
        machine, held = self._machine, self._dialogue.held
        assert held is not None
        self._slot.begin(0, held.script, now_ns, now_ns + held.load_wall_ns)
        old = None
        if self._memory_bytes > self._config.max_bytes * FULL:
            machine.failed(full_error(self._config.max_bytes), b"")
        else:
            state, step, stop = self._make(held, now_ns)
            end_ns = time.monotonic_ns()
            if state is not None and step[0] == _DONE and not stop:
                self._keep(held, state)
                held.load_us = (end_ns - now_ns) // 1000
                old = machine.loaded(log_of(step))
            else:
                error = failure(step, held, stop, held.limits.load_wall_ms)
                machine.failed(error, log_of(step))
                self._dispose(held, state)
        self._mail.send()
        self._slot.end(time.monotonic_ns())
        if old is not None:
            self.close(old, "replaced")
        self.gauge()

    def close(self, held: Held, reason: str, *, is_urgent: bool = False) -> None:
        """Close a state and tell; its own hook comes first, unless it is urgent."""
        self.spent.pop(held, None)
        state = self._states.pop(held, None)
        if state is not None:
            self._memory_bytes -= held.memory_bytes
            if not is_urgent:
                self._shut_down(held, state)
            self._dispose(held, state)
        self._machine.expel(held, reason)

    def refill(self) -> None:
        """Make one fresh state ahead of its request."""
        held, _ = self.spent.popitem()
        now_ns = time.monotonic_ns()
        self._slot.begin(0, held.script, now_ns, now_ns + held.load_wall_ns)
        self._dialogue.begin(held)
        state, step, stop = self._make(held, now_ns)
        self._dialogue.end()
        if state is not None and step[0] == _DONE and not stop:
            held.preface = log_of(step)
            self._keep(held, state)
        else:  # the next request tries again and is told
            self._dispose(held, state)
        self._mail.send()
        self._slot.end(time.monotonic_ns())

    def _make(self, held: Held, now_ns: int) -> tuple[LuaState | None, Step, str]:
        """Return a new state, the last step of loading it, and why that was stopped."""
        self.deadman.arm(held.load_budget, now_ns)
        try:
            state = self._new_state(held.limits)
        except MemoryError:  # of the quota, or of the process
            return None, _NO_MEMORY, ""
        self._made += 1
        name = f"{self._config.host}/{self._made}".encode()
        generation = held.epoch & _GENERATION
        step = state.load(held.source, held.script, name, generation)
        stop = ""
        if step[0] > _ERROR:
            until_ns = now_ns + held.load_wall_ns
            step, stop = self._converse(state, step, until_ns, None)
        if step[0] == _DONE and state.must_close:
            stop = stop or MEMORY
        return state, step, stop

    def _new_state(self, limits: Limits) -> LuaState:
        config = self._config
        return LuaState(
            self._dialect,
            StateLimits(
                memory_bytes=limits.memory_bytes,
                # Lua sees no other clock: what only computes is stopped softly as well
                cpu_s=min(limits.cpu_ms, limits.wall_ms) / 1000,
                load_cpu_s=min(limits.load_cpu_ms, limits.load_wall_ms) / 1000,
                reply_bytes=limits.reply_bytes,
                log_lines=limits.log_lines,
                log_bytes=limits.log_bytes,
            ),
            trusted=config.trusted,
            jit=config.jit,
            compat=config.compat,
            cpath=config.cpath,
        )

    def _keep(self, held: Held, state: LuaState) -> None:
        self._states[held] = state
        held.memory_bytes = state.memory_bytes
        self._memory_bytes += held.memory_bytes

    def _dispose(self, held: Held, state: LuaState | None) -> None:
        """Free a state; raise BrokenStateError when that is what it was."""
        if state is None:
            return
        is_broken = state.must_close == BROKEN
        state.close()
        if is_broken:
            self._mail.send()
            raise BrokenStateError(os.fsdecode(held.script))

    def _shut_down(self, held: Held, state: LuaState) -> None:
        """Run the script's `shutdown` hook, for a short while."""
        now_ns = time.monotonic_ns()
        self._slot.begin(0, held.script, now_ns, now_ns + held.load_wall_ns)
        self.deadman.arm(held.load_budget, now_ns)
        self._dialogue.begin(held)
        step, stop = state.shutdown(), ""
        if step[0] > _ERROR:
            step, stop = self._converse(state, step, now_ns + SHUTDOWN_NS, None)
        self._dialogue.end()
        name = printable(os.fsdecode(held.script))
        for level, text in decode(log_of(step)):
            logger.info("script=%s %s: %s", name, level, text)
        if step[0] == _ERROR or stop:
            error = failure(step, held, stop, SHUTDOWN_NS // 1_000_000)
            logger.warning("script=%s shutdown: %s", name, printable(error.message))
        self._slot.end(time.monotonic_ns())

    # ---- what scripts ask for --------------------------------------------------------

    def _converse(
        self, state: LuaState, step: Step, until_ns: int, row: RunRow | None
    ) -> tuple[Step, str]:
        """Answer operations until the script ends or is stopped; say why it was.

        row: the request; None while a script is loaded or closed.
        """
        dialogue = self._dialogue
        offsets = [0, 0]  # of the two streams, as far as they were read
        while step[0] > _ERROR:
            answer = self._answer(step, until_ns, row, offsets)
            dialogue.give_up()
            if dialogue.is_cancelled:
                return state.cancel(), CANCELLED
            if time.monotonic_ns() >= until_ns:
                return state.cancel(), WALL
            step = state.resume(*answer)
        return step, ""

    def _answer(
        self, step: Step, until_ns: int, row: RunRow | None, offsets: list[int]
    ) -> tuple[Flat, ...]:
        """Return the answer to an operation; any, when the script is to be stopped."""
        dialogue = self._dialogue
        op, argument = step[0], step[1]
        if op in _KINDS:
            dialogue.need(_KINDS[Op(op)], argument)
            self._wait(until_ns)
            source = dialogue.answer
            if not isinstance(source, Source):
                return (False, b"") if op == Op.FILE else (False, b"", b"")
            path = source.blob.path
            text = source.blob.source if path else source.error.encode() or _NOT_FOUND
            return (bool(path), text) if op == Op.FILE else (bool(path), text, path)
        if op == Op.SLEEP:
            seconds_ns = int(argument * 1e9)
            self._wait(min(time.monotonic_ns() + seconds_ns, until_ns))
            return (True,)
        if row is None:
            raise BrokenStateError(f"operation {op} without a request")
        if op == Op.FLUSH:
            _, head, chunk, log = step
            self._machine.flush()
            dialogue.part(head, chunk, log)
            self._mail.hear_all()
            return (True,)
        assert op == Op.READ
        return (self._read(row, argument, step[2], until_ns, offsets),)

    def _read(
        self, row: RunRow, stream: int, most: int, until_ns: int, offsets: list[int]
    ) -> bytes:
        """Pull a piece of a stream from the front; empty at its end."""
        if not 0 <= stream < len(offsets) or most < 1:
            raise BrokenStateError(f"READ of {most} bytes of stream {stream}")
        size = row[7] if stream else row[6]
        if offsets[stream] >= size:
            return b""
        dialogue = self._dialogue
        dialogue.want(stream, offsets[stream], most)
        self._wait(until_ns)
        body = dialogue.answer
        if not isinstance(body, Body):
            return b""
        offsets[stream] += len(body.chunk)
        return body.chunk

    def _wait(self, until_ns: int) -> None:
        """Hear frames until there is an answer, nobody wants it, or the time is up."""
        dialogue, mail = self._dialogue, self._mail
        now_ns = asked_ns = time.monotonic_ns()
        while (
            dialogue.answer is None and not dialogue.is_cancelled and now_ns < until_ns
        ):
            self._machine.flush()
            mail.send()
            mail.hear(min((until_ns - now_ns) // 1_000_000 + 1, 1000))
            now_ns = time.monotonic_ns()
            if now_ns - asked_ns > _ASK_AGAIN_NS:
                asked_ns = now_ns
                dialogue.ask_again()
                self._slot.beat(now_ns)
