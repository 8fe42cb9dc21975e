"""The Lua states of a VM host: made, run and closed, within their budgets.

What a script computes ends by Lua's hook, for CPU time and for wall-clock time, or by
the kernel's timer; what it waits for, in its conversation with the host.
"""

# Impure, compiled.

import logging
import os
import time
from typing import Final

from luafarm.names import TERM_SHIFT
from luafarm.wire import codec
from luafarm.wire.loglines import encode
from luafarm.wire.messages import DoneRow, Limits, Outcome, RunRow
from vmhost.host.config import HostConfig
from vmhost.host.conversation import BrokenStateError, Conversation
from vmhost.host.curfew import Curfew
from vmhost.host.error import (
    CANCELLED,
    MEMORY,
    REPLY,
    WALL,
    failure,
    full_error,
    log_of,
)
from vmhost.host.held import Held
from vmhost.host.machine import HostMachine
from vmhost.host.mail import Mail
from vmhost.host.timer import DeadMan
from vmhost.lua.dialect import choose
from vmhost.lua.operation import Op, Step
from vmhost.lua.state import LuaState, StateLimits
from vmhost.scoreboard import HostSlot

logger = logging.getLogger(f"luafarm.{__name__}")

SHUTDOWN_NS: Final = 1_000_000_000  # for a `shutdown` hook
FULL: Final = 0.9  # of the host's memory: nothing more is loaded
BROKEN: Final = "broken"  # `LuaState.must_close` of a state that broke its protocol

_GOES_ON: Final = ("", CANCELLED)  # whatever else stopped a run, its state is closed
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


def _size(held: Held) -> int:
    return held.memory_bytes


class LuaStates:
    """Owns the states; who wants what of them is the machine's."""

    def __init__(
        self,
        config: HostConfig,
        machine: HostMachine,
        mail: Mail,
        slot: HostSlot,
        curfew: Curfew,
    ) -> None:
        self.deadman = DeadMan(config.grace_s)
        self.spent: dict[Held, None] = {}  # want a fresh state for the next request
        self._config = config
        self._machine = machine
        self._dialogue = machine.dialogue
        self._outbox = machine.peers.outbox
        self._mail = mail
        self._slot = slot
        self._curfew = curfew
        self._talk = Conversation(machine, mail, slot)
        self._dialect = choose(config.dialect, trusted=config.trusted, jit=config.jit)
        self._states: dict[Held, LuaState] = {}
        self._memory_bytes = 0  # of all of them, each as of its last run
        self._room_bytes = int(config.max_bytes * FULL)  # at most, with room for others
        self._made = 0
        self._cpu_ns = 0  # of this thread, when the last run ended

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
            held.preface += log_of(step)
            self.deadman.arm(held.budget, time.monotonic_ns())
        else:
            self._slot.begin(row[0], row[1], now_ns, until_ns)
            self.deadman.arm(held.budget, now_ns)
        stop = ""
        ticket = self._curfew.begin(until_ns, held.wall_ns)
        step = state.run(row[4], row[5], row[6], row[7], ticket)
        has_waited = step[0] > _ERROR
        if has_waited:
            step, stop = self._talk.hold(state, step, until_ns, row)
        if step[0] == _DONE:
            answered: int = self._dialogue.part_bytes + len(step[2])
            if answered > held.reply_bytes and not stop:
                stop = REPLY  # put where Lua cannot yield: nothing was sent before
        end_ns = self._finish(held, row, step, stop, now_ns, has_waited)
        if state.must_close or stop not in _GOES_ON or held.limits.fresh:
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
        self._slot.end()
        return end_ns

    def _failed_row(
        self, held: Held, request: int, step: Step, stop: str, used_us: int
    ) -> DoneRow:
        log, held.preface = held.preface + log_of(step), b""
        if stop == CANCELLED:
            return request, Outcome.CANCELLED, b"", b"", log, b"", used_us
        error = failure(step, held, stop, held.limits.wall_ms)
        outcome = Outcome.BUDGET if error.budget else Outcome.ERROR
        return request, outcome, b"", b"", log, codec.encode_error(error), used_us

    def _end_state(self, held: Held, state: LuaState, reason: str) -> None:
        """Close a state that does not outlive its run."""
        if self._states.pop(held, None) is not None:
            self._memory_bytes -= held.memory_bytes
        log = b""
        if not state.must_close and reason != WALL:
            log = self._shut_down(held, state)
        self._dispose(held, state)
        if held.limits.fresh:
            held.preface = log  # with the next run; this one has taken what was there
            self.spent[held] = None
        else:
            self._machine.expel(held, reason, log)
            self._mail.send()

    def _relieve(self) -> None:
        """Collect garbage and close states, the largest first, until there is room."""
        self._collect()
        while self._memory_bytes > self._room_bytes:
            self.close(max(self._states, key=_size), MEMORY)
        self._mail.send()

    def _collect(self) -> None:
        """Collect the garbage of states, the largest first, until there is room."""
        for held in sorted(self._states, key=_size, reverse=True):
            if self._memory_bytes <= self._room_bytes:
                return
            state, now_ns = self._states[held], time.monotonic_ns()
            self._slot.begin(0, held.script, now_ns, now_ns + held.load_wall_ns)
            self.deadman.arm(held.load_budget, now_ns)
            state.collect()
            self._slot.end()
            if state.must_close:
                self.close(held, state.must_close, is_urgent=True)
            else:
                self._memory_bytes += state.memory_bytes - held.memory_bytes
                held.memory_bytes = state.memory_bytes

    # ---- loading and closing -------------------------------------------------------

    def load(self, now_ns: int) -> None:
        """Make the state that the machine was asked for."""
        machine, held = self._machine, self._dialogue.held
        assert held is not None
        if self._memory_bytes > self._room_bytes:
            self._collect()
            now_ns = time.monotonic_ns()
        self._slot.begin(0, held.script, now_ns, now_ns + held.load_wall_ns)
        old = None
        asked, cpu_ns = self._dialogue.asked, time.thread_time_ns()
        if self._memory_bytes > self._room_bytes:
            machine.failed(full_error(self._config.max_bytes), b"")
        else:
            state, step, stop = self._make(held, now_ns)
            end_ns = time.monotonic_ns()
            if state is not None and step[0] == _DONE and not stop:
                self._keep(held, state)
                used_ns = end_ns - now_ns
                if self._dialogue.asked == asked:  # else it waited for the broker
                    # a busy machine must not make quick loads look slow: what is
                    # evicted goes by them
                    used_ns = min(used_ns, time.thread_time_ns() - cpu_ns)
                held.load_us = used_ns // 1000
                old = machine.loaded(log_of(step))
            else:
                error = failure(step, held, stop, held.limits.load_wall_ms)
                machine.failed(error, log_of(step))
                self._dispose(held, state)
        self._mail.send()
        self._slot.end()
        if old is not None:
            self.close(old, "replaced")

    def close(self, held: Held, reason: str, *, is_urgent: bool = False) -> None:
        """Close a state and tell; its own hook comes first, unless it is urgent."""
        self.spent.pop(held, None)
        state = self._states.pop(held, None)
        log, held.preface = held.preface, b""
        if state is not None:
            self._memory_bytes -= held.memory_bytes
            if not is_urgent:
                log += self._shut_down(held, state)
            self._dispose(held, state)
        self._machine.expel(held, reason, log)

    def refill(self) -> None:
        """Make one fresh state ahead of its request."""
        held, _ = self.spent.popitem()
        now_ns = time.monotonic_ns()
        self._slot.begin(0, held.script, now_ns, now_ns + held.load_wall_ns)
        self._dialogue.begin(held)
        state, step, stop = self._make(held, now_ns)
        self._dialogue.end()
        if state is not None and step[0] == _DONE and not stop:
            held.preface += log_of(step)
            self._keep(held, state)
        else:  # the next request tries again and is told
            self._dispose(held, state)
        self._mail.send()
        self._slot.end()

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
        until_ns = now_ns + held.load_wall_ns
        ticket = self._curfew.begin(until_ns, held.load_wall_ns)
        step = state.load(held.source, held.script, name, generation, ticket)
        stop = ""
        if step[0] > _ERROR:
            step, stop = self._talk.hold(state, step, until_ns, None)
        if step[0] == _DONE and state.must_close:
            stop = stop or MEMORY
        return state, step, stop

    def _new_state(self, limits: Limits) -> LuaState:
        config = self._config
        return LuaState(
            self._dialect,
            StateLimits(
                memory_bytes=limits.memory_bytes,
                cpu_s=limits.cpu_ms / 1000,
                load_cpu_s=limits.load_cpu_ms / 1000,
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

    def _shut_down(self, held: Held, state: LuaState) -> bytes:
        """Run the script's `shutdown` hook, for a short while; return its log."""
        now_ns = time.monotonic_ns()
        until_ns = now_ns + SHUTDOWN_NS
        self._slot.begin(0, held.script, now_ns, now_ns + held.load_wall_ns)
        self.deadman.arm(held.load_budget, now_ns)
        self._dialogue.begin(held)
        step = state.shutdown(self._curfew.begin(until_ns, SHUTDOWN_NS))
        stop = ""
        if step[0] > _ERROR:
            step, stop = self._talk.hold(state, step, until_ns, None)
        self._dialogue.end()
        self._slot.end()
        log = log_of(step)
        if step[0] == _ERROR or stop:
            error = failure(step, held, stop, SHUTDOWN_NS // 1_000_000)
            log += encode("error", f"shutdown: {error.message}\n{error.traceback}")
        return log
