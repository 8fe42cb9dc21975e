"""The Lua states of a VM host: made, run and closed as the machine says.

What a script computes ends by Lua's hook, for CPU time and for wall-clock time, or by
the kernel's timer; what it waits for ends here.
"""

# Impure, compiled.

import os
import time
from typing import Final, assert_never

from luafarm.ends import Closing, closing
from luafarm.names import TERM_SHIFT
from luafarm.wire import codec
from luafarm.wire.loglines import encode
from luafarm.wire.messages import DoneRow, Limits, Outcome
from vmhost.host.config import HostConfig
from vmhost.host.deadlines import Deadlines
from vmhost.host.error import (
    CANCELLED,
    MEMORY,
    REPLY,
    WALL,
    failure,
    log_of,
)
from vmhost.host.held import Held
from vmhost.host.machine import HostMachine
from vmhost.host.mail import Mail
from vmhost.host.replies import PATIENCE_NS
from vmhost.host.services.table import OPERATIONS
from vmhost.host.work import Close, Collect, Load, Refill, Run, Work
from vmhost.lua.dialect import choose
from vmhost.lua.limits import StateLimits
from vmhost.lua.operation import DONE, ERROR, BrokenStateError, Step
from vmhost.lua.state import LuaState

SHUTDOWN_NS: Final = 1_000_000_000  # for a `shutdown` hook

_GOES_ON: Final = ("", CANCELLED)  # whatever else stopped a run, its state is closed
_GENERATION: Final = (1 << TERM_SHIFT) - 1
_LISTEN_MS: Final = 1000  # at a time, while a script waits
_TOO_LITTLE: Final = b"not enough memory for a Lua state"
_NO_MEMORY: Final[Step] = (
    ERROR,
    b"Memory Error",
    _TOO_LITTLE,
    b"",
    b"",
    0,
    b"",
    True,
    b"memory",
)


class LuaStates:
    """Owns the states; who wants what of them is the machine's."""

    def __init__(
        self, config: HostConfig, machine: HostMachine, mail: Mail, deadlines: Deadlines
    ) -> None:
        self._config = config
        self._is_trusted = config.trusted
        self._machine = machine
        self._task = machine.task
        self._mail = mail
        self._deadlines = deadlines
        self._dialect = choose(config.dialect, trusted=config.trusted, jit=config.jit)
        self._states: dict[Held, LuaState] = {}
        self._made = 0
        self._cpu_ns = 0  # of this thread, when the last run ended

    def work(self, now_ns: int) -> int:
        """Do everything that is queued, and listen now and then; return the time."""
        machine, mail = self._machine, self._mail
        listened_ns = now_ns
        while True:
            work = machine.take(now_ns)
            mail.send()
            if work is None:
                return now_ns
            now_ns = self.do(work, now_ns)
            if now_ns - listened_ns > PATIENCE_NS:
                listened_ns = now_ns
                mail.hear_all()

    def do(self, work: Work, now_ns: int) -> int:
        """Do a piece of work; return the time."""
        if isinstance(work, Run):
            return self._run(work, now_ns)
        if isinstance(work, Load):
            self._load(work, now_ns)
        elif isinstance(work, Close):
            self._close(work)
        elif isinstance(work, Refill):
            self._refill(work)
        elif isinstance(work, Collect):
            self._collect(work)
        else:
            assert_never(work)
        return time.monotonic_ns()

    # ---- runs ----------------------------------------------------------------------

    def _run(self, run: Run, now_ns: int) -> int:
        """Serve a request with the state that the machine found; return the time."""
        held = run.held
        request, script, _, _, params, body, body_bytes, data_bytes = run.row
        deadlines = self._deadlines
        if self._is_trusted:
            _go_where_it_lies(held)
        until_ns = now_ns + held.wall_ns
        state = self._states.get(held)
        if state is None:  # fresh, and there was no time to make it before
            until_ns += held.load_wall_ns
            deadlines.begin(request, script, held.load_budget, now_ns, until_ns)
            state, step, stop = self._make(held, now_ns)
            if state is None or step[0] != DONE or stop:
                self._finish(run, step, stop, now_ns)
                self._machine.not_made(run)
                self._dispose(held, state)
                return time.monotonic_ns()
            self._states[held] = state
            held.preface += log_of(step)
            alarm = deadlines.allow(held.budget, time.monotonic_ns(), until_ns)
        else:
            alarm = deadlines.begin(request, script, held.budget, now_ns, until_ns)
        stop = ""
        step = state.run(params, body, body_bytes, data_bytes, alarm)
        has_waited = step[0] > ERROR
        if has_waited:
            step, stop = self._attend(state, step, until_ns)
        if step[0] == DONE:
            answered: int = self._task.part_bytes + len(step[2])
            if answered > held.reply_bytes and not stop:
                stop = REPLY  # put where Lua cannot yield: nothing was sent before
        end_ns = self._finish(run, step, stop, now_ns, has_waited)
        if state.must_close or stop not in _GOES_ON or held.limits.fresh:
            has_hook = not state.must_close and stop != WALL
            reason = closing(state.must_close or stop)
            self._machine.ended(held, reason, has_hook=has_hook)
        else:
            self._machine.kept(held, state.memory_bytes)
        return end_ns

    def _finish(
        self, run: Run, step: Step, stop: str, now_ns: int, has_waited: bool = True
    ) -> int:
        """Hand the reply on; return the time at which the run ended.

        What a run that waited for nothing took is counted in CPU time since the last
        one: fronts plan with it, and a busy machine must not make quick scripts look
        slow.
        """
        held, request = run.held, run.request
        end_ns = time.monotonic_ns()
        used_ns = end_ns - now_ns
        cpu_ns = time.thread_time_ns()
        if not has_waited:
            used_ns = min(used_ns, cpu_ns - self._cpu_ns)
        self._cpu_ns = cpu_ns
        if step[0] == DONE and not stop:
            _, head, body, log = step
            if held.preface:
                log, held.preface = held.preface + log, b""
            done: DoneRow = (request, 0, head, body, log, b"", used_ns // 1000)
        else:
            done = self._failed_row(held, request, step, stop, used_ns // 1000)
        self._machine.finish(run, done, end_ns, used_ns)
        self._end()
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

    def _end(self) -> None:
        """End the task, once all that it said is in the sockets."""
        self._mail.send()
        self._deadlines.end()

    # ---- what a script asks --------------------------------------------------------

    def _attend(self, state: LuaState, step: Step, until_ns: int) -> tuple[Step, str]:
        """Answer operations until the script ends or is stopped; say why it was."""
        task = self._task
        while step[0] > ERROR:
            self._machine.ask(step, time.monotonic_ns())
            self._wait(until_ns)
            answer = task.take()
            if task.is_cancelled:
                return state.cancel(), CANCELLED
            if time.monotonic_ns() >= until_ns:
                return state.cancel(), WALL
            step = state.resume(*answer)
        return step, ""

    def _wait(self, until_ns: int) -> None:
        """Hear frames until there is an answer, nobody wants it, or the time is up."""
        task = self._task
        while task.is_waiting():
            now_ns = time.monotonic_ns()
            left_ns = min(task.due_ns(), until_ns) - now_ns
            if left_ns <= 0:
                self._mail.hear_all()
                return
            self._mail.hear(min(left_ns // 1_000_000 + 1, _LISTEN_MS))
            now_ns = time.monotonic_ns()
            task.look(now_ns)
            self._deadlines.beat(now_ns)

    # ---- loading and closing -------------------------------------------------------

    def _load(self, load: Load, now_ns: int) -> None:
        """Make the state of a new generation."""
        machine, held = self._machine, load.held
        self._begin(held, now_ns)
        asked, cpu_ns = self._task.asked, time.thread_time_ns()
        state, step, stop = self._make(held, now_ns)
        if state is not None and step[0] == DONE and not stop:
            self._states[held] = state
            used_ns = time.monotonic_ns() - now_ns
            if self._task.asked == asked:  # else it waited for the broker
                # a busy machine must not make quick loads look slow: what is evicted
                # goes by them
                used_ns = min(used_ns, time.thread_time_ns() - cpu_ns)
            machine.loaded(load, state.memory_bytes, used_ns // 1000, log_of(step))
        else:
            error = failure(step, held, stop, held.limits.load_wall_ms)
            machine.failed(load, error, log_of(step))
            self._dispose(held, state)
        self._end()

    def _refill(self, refill: Refill) -> None:
        """Make one fresh state ahead of its run."""
        machine, held = self._machine, refill.held
        now_ns = time.monotonic_ns()
        self._begin(held, now_ns)
        state, step, stop = self._make(held, now_ns)
        if state is not None and step[0] == DONE and not stop:
            held.preface += log_of(step)
            self._states[held] = state
            machine.refilled(refill, state.memory_bytes)
        else:
            machine.not_refilled()
            self._dispose(held, state)
        self._end()

    def _collect(self, collect: Collect) -> None:
        """Collect the garbage of a state."""
        held = collect.held
        state = self._states[held]
        self._begin(held, time.monotonic_ns())
        state.collect()
        self._end()
        if state.must_close:
            reason = closing(state.must_close)
            self._machine.ended(held, reason, has_hook=False)
        else:
            self._machine.collected(collect, state.memory_bytes)

    def _close(self, close: Close) -> None:
        """Close a state; its own hook comes first, if it may run."""
        held = close.held
        state = self._states.pop(held, None)
        log = b""
        if state is not None and close.has_hook:
            log = self._shut_down(held, state)
        self._machine.closed(close, log)
        self._dispose(held, state)

    def _begin(self, held: Held, now_ns: int) -> None:
        """Begin what is no run, with the budget of loading."""
        until_ns = now_ns + held.load_wall_ns
        self._deadlines.begin(0, held.script, held.load_budget, now_ns, until_ns)

    def _make(self, held: Held, now_ns: int) -> tuple[LuaState | None, Step, str]:
        """Return a new state, the last step of loading it, and why that was stopped."""
        try:
            state = self._new_state(held.limits)
        except MemoryError:  # of the quota, or of the process
            return None, _NO_MEMORY, ""
        self._made += 1
        name = f"{self._config.host}/{self._made}".encode()
        generation = held.epoch & _GENERATION
        until_ns = now_ns + held.load_wall_ns
        alarm = self._deadlines.allow(held.load_budget, now_ns, until_ns)
        if self._is_trusted:
            _go_where_it_lies(held)
        step = state.load(held.source, held.script, name, generation, alarm)
        stop = ""
        if step[0] > ERROR:
            step, stop = self._attend(state, step, until_ns)
        if step[0] == DONE and state.must_close:
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
            OPERATIONS,
            trusted=config.trusted,
            jit=config.jit,
            compat=config.compat,
            cpath=config.cpath,
            c_modules=config.opened,
        )

    def _dispose(self, held: Held, state: LuaState | None) -> None:
        """Free a state; raise BrokenStateError when that is what it was."""
        if state is None:
            return
        is_broken = state.must_close == Closing.BROKEN
        state.close()
        if is_broken:
            self._mail.send()
            raise BrokenStateError(os.fsdecode(held.script))

    def _shut_down(self, held: Held, state: LuaState) -> bytes:
        """Run the script's `shutdown` hook, for a short while; return its log."""
        now_ns = time.monotonic_ns()
        until_ns = now_ns + SHUTDOWN_NS
        self._begin(held, now_ns)
        alarm = self._deadlines.allow(held.load_budget, now_ns, until_ns)
        if self._is_trusted:
            _go_where_it_lies(held)
        step = state.shutdown(alarm)
        stop = ""
        if step[0] > ERROR:
            step, stop = self._attend(state, step, until_ns)
        self._end()
        log = log_of(step)
        if step[0] == ERROR or stop:
            error = failure(step, held, stop, SHUTDOWN_NS // 1_000_000)
            log += encode("error", f"shutdown: {error.message}\n{error.traceback}")
        return log


def _go_where_it_lies(held: Held) -> None:
    """Make a trusted script's directory the current one: one script runs at a time.

    Each time, as scripts may change it; `/` when there is no such directory any more.
    """
    try:
        os.chdir(os.path.dirname(held.script))  # noqa: PTH120 - bytes
    except OSError:
        os.chdir("/")
