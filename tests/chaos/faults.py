"""What is done to a farm: one function for each kind of fault, reload and deploy.

A function gets the stage and what was planned, returns when the fault is over, and says
how many victims it had: processes, connections or whatever `Kind.costs` counts.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bench import procfs
from tests.chaos import client, processes
from tests.chaos.kinds import REPLACED_S
from tests.chaos.mix import SANDBOXED_POOL
from tests.chaos.output import Output
from tests.chaos.record import Order
from tests.chaos.schedule import Planned
from tests.chaos.stage import START_S, Stage
from tests.farm.farms import until

_BUSY = "while True: pass"
_FILL_BYTES = 1 << 20
_GREEDY = 2  # clients that ask for memory


@dataclass(frozen=True, slots=True)
class Done:
    """What came of it; no victims: it could not be done."""

    victims: int = 1
    note: str = ""
    unreplaced: tuple[str, ...] = ()  # processes that hung on, and nobody replaced


Wait = Callable[[float], bool]
"""How a fault lets its span pass; True: the suite ends, and cut it short."""

Fault = Callable[[Stage, Planned, Wait], Done]

FAULTS: dict[str, Fault] = {}
"""By the name of their kind."""


def _fault(function: Fault) -> Fault:
    FAULTS[function.__name__] = function
    return function


# ---- killed ------------------------------------------------------------------------


def _kill(pids: Sequence[int], victims: int | None = None) -> Done:
    """Kill processes; victims: if that is not their number."""
    killed = [pid for pid in pids if processes.send(pid, signal.SIGKILL)]
    if not killed:
        return Done(0)
    return Done(len(killed) if victims is None else victims, f"pid {killed}")


def _picked(pids: Sequence[int], planned: Planned) -> list[int]:
    return [pids[planned.pick % len(pids)]] if pids else []


@_fault
def kill_host(stage: Stage, planned: Planned, wait: Wait) -> Done:
    """Kill one VM host."""
    return _kill(_picked(stage.titled("vmhost "), planned))


@_fault
def kill_hosts(stage: Stage, planned: Planned, wait: Wait) -> Done:
    """Kill two VM hosts at once."""
    pids = stage.titled("vmhost ")
    start = planned.pick % max(1, len(pids))
    return _kill((pids + pids)[start : start + 2])


@_fault
def kill_zygote(stage: Stage, planned: Planned, wait: Wait) -> Done:
    """Kill the zygote."""
    return _kill(stage.titled("zygote"))


@_fault
def kill_supervisor(stage: Stage, planned: Planned, wait: Wait) -> Done:
    """Kill the supervisor; its VM hosts are the victims."""
    return _kill(stage.titled("supervisor"), len(stage.titled("vmhost ")))


@_fault
def kill_broker(stage: Stage, planned: Planned, wait: Wait) -> Done:
    """Kill the broker."""
    return _kill(stage.titled("broker"))


@_fault
def kill_front(stage: Stage, planned: Planned, wait: Wait) -> Done:
    """Kill one front."""
    return _kill(_picked(stage.titled("front"), planned))


@_fault
def kill_roles(stage: Stage, planned: Planned, wait: Wait) -> Done:
    """Kill everything but `luafarm up`."""
    titles = ("front", "broker", "supervisor", "zygote", "vmhost ")
    return _kill([pid for title in titles for pid in stage.titled(title)])


# ---- stopped -----------------------------------------------------------------------


def _stop(
    pids: Sequence[int], planned: Planned, wait: Wait, victims: int | None = None
) -> Done:
    with processes.stopped(list(pids)):
        wait(planned.span_s)
    return Done(len(pids) if victims is None else victims, f"pid {list(pids)}")


def _hang(
    pids: Sequence[int], planned: Planned, wait: Wait, victims: int | None = None
) -> Done:
    """Let roles hang: they go on after a while, or, if that is long, never."""
    unreplaced: list[str] = []
    with processes.stopped(list(pids)):
        if not wait(planned.span_s) and planned.span_s >= REPLACED_S:
            # longer than that: the machine is busy, and the claim has no times
            with contextlib.suppress(AssertionError):
                until(lambda: not any(map(processes.hangs, pids)), "", START_S)
            unreplaced = [procfs.title(pid) for pid in pids if processes.hangs(pid)]
    count = len(pids) if victims is None else victims
    return Done(count, f"pid {list(pids)}", tuple(unreplaced))


@_fault
def stop_host(stage: Stage, planned: Planned, wait: Wait) -> Done:
    """Let one VM host hang."""
    return _stop(_picked(stage.titled("vmhost "), planned), planned, wait)


@_fault
def stop_supervisor(stage: Stage, planned: Planned, wait: Wait) -> Done:
    """Let the supervisor hang."""
    hosts = len(stage.titled("vmhost "))
    return _hang(stage.titled("supervisor"), planned, wait, hosts)


@_fault
def stop_broker(stage: Stage, planned: Planned, wait: Wait) -> Done:
    """Let the broker hang."""
    return _hang(stage.titled("broker"), planned, wait)


@_fault
def stop_front(stage: Stage, planned: Planned, wait: Wait) -> Done:
    """Let a front hang."""
    return _hang(_picked(stage.titled("front"), planned), planned, wait)


@_fault
def stop_all(stage: Stage, planned: Planned, wait: Wait) -> Done:
    """Pause the farm."""
    return _stop([stage.pid, *stage.titled("")], planned, wait)


# ---- starved -----------------------------------------------------------------------


@_fault
def starve_cpu(stage: Stage, planned: Planned, wait: Wait) -> Done:
    """Keep the processors busy."""
    with contextlib.ExitStack() as stack:
        for _ in range(2 * (os.cpu_count() or 1)):
            loop = stack.enter_context(subprocess.Popen([sys.executable, "-c", _BUSY]))
            stack.callback(loop.kill)
        wait(planned.span_s)
    return Done()


@_fault
def starve_fds(stage: Stage, planned: Planned, wait: Wait) -> Done:
    """Let a front, the broker or the supervisor open nothing more."""
    titles = ("front", "broker", "supervisor")
    title = titles[planned.pick % len(titles)]
    pids = _picked(stage.titled(title), planned)
    for pid in pids:
        with processes.without_descriptors(pid):
            wait(planned.span_s)
    return Done(len(pids), title)


@_fault
def starve_disk(stage: Stage, planned: Planned, wait: Wait) -> Done:
    """Fill the disk of run directory and spools."""
    if not stage.is_limited:
        return Done(0, "the disk has no limit that is ours to reach")
    fill = stage.small / "fill"
    with contextlib.suppress(OSError), fill.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(_FILL_BYTES))
    wait(planned.span_s)
    fill.unlink()
    return Done()


@_fault
def starve_memory(stage: Stage, planned: Planned, wait: Wait) -> Done:
    """Have a script take all memory that it gets, again and again."""
    is_over = threading.Event()
    order = Order("00-000000", SANDBOXED_POOL, "greedy.lua")
    statuses: list[int] = []

    def ask_on() -> None:
        while not is_over.is_set():
            statuses.append(client.ask(stage.port, order).status)

    threads = [threading.Thread(target=ask_on) for _ in range(_GREEDY)]
    for thread in threads:
        thread.start()
    wait(planned.span_s)
    is_over.set()
    for thread in threads:
        thread.join()
    return Done(1, f"statuses {sorted(set(statuses))}")


# ---- cut ---------------------------------------------------------------------------


@_fault
def cut_host_link(stage: Stage, planned: Planned, wait: Wait) -> Done:
    """End a front's connection to a VM host."""
    hosts = str(stage.small / "run" / "h")
    cut = 0
    for pid in _picked(stage.titled("front"), planned):
        cut = processes.cut(pid, lambda own, peer: peer.startswith(hosts), most=1)
    return Done(cut)


@_fault
def cut_web_links(stage: Stage, planned: Planned, wait: Wait) -> Done:
    """Reset all connections between nginx and a front."""
    if not stage.is_tcp:
        return Done(0, "no network is between the ends of a UNIX socket")
    address = f"127.0.0.1:{stage.tcp_port}"
    cut = 0
    for pid in _picked(stage.titled("front"), planned):
        cut = processes.cut(pid, lambda own, peer: own == address)
    return Done(cut)


@_fault
def cut_broker_link(stage: Stage, planned: Planned, wait: Wait) -> Done:
    """End the connections between the broker and a front or the supervisor."""
    broker = str(stage.small / "run" / "broker.sock")
    pids = [*stage.titled("front"), *stage.titled("supervisor")]
    cut = 0
    for pid in _picked(pids, planned):
        cut = processes.cut(pid, lambda own, peer: peer == broker)
    return Done(cut)


# ---- output ------------------------------------------------------------------------


def _open_output(stage: Stage) -> Iterator[Output]:
    if stage.output is not None and stage.output.is_open:
        yield stage.output


@_fault
def stall_output(stage: Stage, planned: Planned, wait: Wait) -> Done:
    """Read nothing of what the farm logs."""
    for output in _open_output(stage):
        with output.stalled():
            wait(planned.span_s)
            return Done()
    return Done(0, "it is closed")


@_fault
def close_output(stage: Stage, planned: Planned, wait: Wait) -> Done:
    """Close the pipe of the log."""
    for output in _open_output(stage):
        output.close()
        return Done()
    return Done(0, "it is closed")


# ---- an administrator --------------------------------------------------------------


@_fault
def hup(stage: Stage, planned: Planned, wait: Wait) -> Done:
    """Have all replaced; the next thing is done when they may still be."""
    if not processes.heeds(stage.pid, signal.SIGHUP):
        return Done(0)  # Python itself still starts: nobody handles it
    return Done(int(processes.send(stage.pid, signal.SIGHUP)))


@_fault
def reopen(stage: Stage, planned: Planned, wait: Wait) -> Done:
    """Have logs reopened."""
    return Done(int(processes.send(stage.pid, signal.SIGUSR1)))


@_fault
def reload(stage: Stage, planned: Planned, wait: Wait) -> Done:
    """Have the farm compare every script with its file."""
    return Done(1, stage.command("reload"))


@_fault
def restart(stage: Stage, planned: Planned, wait: Wait) -> Done:
    """Stop `luafarm up` in good order and start it again."""
    code = stage.stop()
    stage.start()
    with contextlib.suppress(AssertionError):  # is seen at the end if it never serves
        until(stage.is_whole, "the farm is there again", START_S)
    return Done(1, f"exit code {code}" if code else "")


@_fault
def flip(stage: Stage, planned: Planned, wait: Wait) -> Done:
    """Deploy a release."""
    return Done(1, stage.site.flip(planned.pick))


@_fault
def rename(stage: Stage, planned: Planned, wait: Wait) -> Done:
    """Deploy a script by rename."""
    return Done(1, stage.site.rename(planned.pick))


@_fault
def in_place(stage: Stage, planned: Planned, wait: Wait) -> Done:
    """Deploy a script where it is."""
    return Done(1, stage.site.write_in_place(planned.pick))


@_fault
def delete(stage: Stage, planned: Planned, wait: Wait) -> Done:
    """Take a script away and bring it back."""
    return Done(1, stage.site.delete(planned.pick))
