"""The supervisor's processes: its zygote, and the VM hosts that the zygote forks.

Hosts are the supervisor's own children (see `vmhost.zygote`): the kernel tells of their
end with SIGCHLD and keeps their pid for as long as `reap` has not been told, so a
signal sent here never hits a stranger.
"""

# Impure.

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Final

from luafarm.errors import ProtocolError
from luafarm.keys import curve
from luafarm.names import HostId
from luafarm.process import children, prctl
from luafarm.wire.messages import HostUp
from vmhost import scoreboard, zygote
from vmhost.reading import Reading
from vmhost.report import LayersTold
from vmhost.supervisor import events, listening, provision
from vmhost.supervisor.actions import Fork
from vmhost.supervisor.child import Child
from vmhost.supervisor.events import Event
from vmhost.supervisor.plan import PoolPlan
from vmhost.supervisor.provision import HostBasis

_MOST_UNCLAIMED: Final = 64  # ended children that the zygote has not answered for yet
_FORK_ANSWER: Final = 65536
_CLEAN: Final = ("PATH", "HOME", "TZ", "LANG", "PYTHONPATH", "PYTHONHOME")


class Processes:
    """Starts, forks, signals and reaps. Gives events, decides nothing."""

    def __init__(self, basis: HostBasis, plans: Sequence[PoolPlan]) -> None:
        self._basis = basis
        self._plans = plans
        self._zygote_pid = 0
        self._channel: socket.socket | None = None
        self._children: dict[HostId, Child] = {}
        self._hosts: dict[int, HostId] = {}  # by pid
        self._unclaimed: dict[int, int] = {}  # status by pid
        prctl.change(prctl.PR_SET_CHILD_SUBREAPER, 1)

    def child(self, host: HostId) -> Child:
        """Return a host that is ordered or lives."""
        return self._children[host]

    def readings(self) -> tuple[tuple[HostId, Reading], ...]:
        """Return what the scoreboards of the forked hosts say."""
        forked = [child for child in self._children.values() if child.pid]
        return tuple((child.host, child.reading()) for child in forked)

    def fds(self) -> list[int]:
        """Return the fds that `read` wants to be called for."""
        found = [] if self._channel is None else [self._channel.fileno()]
        for child in self._children.values():
            # a quick host reports before the zygote has answered: `Forked` goes first
            if child.pid:
                found += child.fds()
        return found

    def listen_again(self) -> None:
        """Listen again to hosts that wrote too much; to be called once a second."""
        for child in self._children.values():
            child.listen_again()

    def read(self, fd: int) -> list[Event]:
        """Take what has arrived on an fd; return what happened."""
        if self._channel is not None and fd == self._channel.fileno():
            return self._read_channel()
        for child in self._children.values():
            if fd == child.report_fd:
                return _read_report(child)
            if fd == child.errors_fd:
                child.read_errors()
        return []

    def start_zygote(self) -> list[Event]:
        """Start a zygote; it says by the channel when it is warm."""
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError as error:  # no descriptor is left
            return [events.ZygoteEnded(f"not started: {error.strerror}")]
        ours.setblocking(False)
        theirs.set_inheritable(True)
        dialects = sorted({plan.dialect for plan in self._plans})
        module = [str(theirs.fileno()), *dialects]
        command = children.command(self._basis.zygote, module)
        try:
            self._zygote_pid = os.posix_spawn(
                sys.executable,
                command,
                self._environment(),
                file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)],
            )
        except OSError as error:
            ours.close()
            return [events.ZygoteEnded(f"{sys.executable}: {error.strerror}")]
        finally:
            theirs.close()
        self._channel = ours
        return []

    def kill_zygote(self) -> None:
        """End the zygote; `reap` tells when it has ended. The hosts live on."""
        if self._zygote_pid:
            os.kill(self._zygote_pid, signal.SIGKILL)

    def fork(self, order: Fork) -> list[Event]:
        """Have a host forked."""
        try:
            self._order(order)
        except OSError as error:
            child = self._children.pop(order.host, None)
            if child is not None:
                self._forget(child)
            return [events.ForkFailed(order.host, error.strerror or str(error))]
        return []

    def drain(self, host: HostId) -> None:
        """Ask a host to finish what it has and end."""
        self._signal(host, signal.SIGTERM)

    def kill(self, host: HostId) -> None:
        """End a host now; `reap` tells when it has ended."""
        self._signal(host, signal.SIGKILL)

    def reap(self) -> list[Event]:
        """Return which children have ended since."""
        found: list[Event] = []
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return found
            if not pid:
                return found
            if pid == self._zygote_pid:
                found += self._zygote_ended(status)
            elif pid in self._hosts:
                found += self._host_ended(self._hosts[pid], status)
            else:
                self._unclaimed[pid] = status
                if len(self._unclaimed) > _MOST_UNCLAIMED:
                    del self._unclaimed[next(iter(self._unclaimed))]

    def close(self) -> None:
        """End the zygote and every host, and wait for them."""
        self.kill_zygote()
        for child in self._children.values():
            if child.pid:
                os.kill(child.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while self._zygote_pid or any(c.pid for c in self._children.values()):
                pid, status = os.waitpid(-1, 0)
                if pid == self._zygote_pid:
                    self._zygote_ended(status)
                elif pid in self._hosts:
                    self._host_ended(self._hosts[pid], status)
        for child in list(self._children.values()):
            self._forget(child)
        self._children.clear()

    # ---- orders --------------------------------------------------------------------

    def _order(self, order: Fork) -> None:
        basis, plan = self._basis, order.plan
        assert self._channel is not None
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as undo:
            door = listening.listen(
                basis.endpoint, basis.run, f"{order.number}-{order.host[-8:]}"
            )
            theirs.callback(door.sock.close)
            undo.callback(listening.remove, door.endpoint)
            page = scoreboard.create()
            theirs.callback(os.close, page)
            report_fd, report_end = _pipe()
            theirs.callback(os.close, report_end)
            undo.callback(os.close, report_fd)
            errors_fd, errors_end = _pipe()
            theirs.callback(os.close, errors_end)
            undo.callback(os.close, errors_fd)
            pair = curve.fresh() if door.is_tcp and basis.badges else None
            uid = provision.uid_of(order, basis)
            up = HostUp(
                host=order.host,
                pool=plan.pool,
                machine=basis.machine,
                endpoint=door.endpoint,
                server_key=b"" if pair is None else pair.public,
                notices=basis.notices,
                notices_key=basis.notices_key,
                layers=(),
                missing=(),
                pid=0,
                uid=os.geteuid() if uid is None else uid,
            )
            self._children[order.host] = Child(up, page, report_fd, errors_fd)
            undo.pop_all()  # from here on they are the child's
            secret = b"" if pair is None else pair.secret
            config = provision.config(order, basis, door.endpoint, secret)
            message = zygote.Order(
                host=order.host,
                title=f"luafarm-vmhost {plan.pool}/{order.number}",
                config=config.pack(),
                confinement=provision.confinement(
                    order, basis, uid, supervisor=os.getpid(), keys=pair is not None
                ),
                required=plan.required,
            )
            fds = [door.sock.fileno(), page, report_end, errors_end]
            socket.send_fds(self._channel, [message.pack()], fds)

    def _environment(self) -> dict[str, str]:
        """Return what the zygote finds in its environment.

        Secrets in the environment of the service must not lie in the memory of a
        sandboxed host; scripts of trusted pools may ask for whatever is there.
        """
        whole = children.environment(os.environ)
        if any(plan.trusted for plan in self._plans):
            return whole
        return {name: whole[name] for name in _CLEAN if name in whole}

    # ---- what the kernel and the zygote tell ---------------------------------------

    def _read_channel(self) -> list[Event]:
        found: list[Event] = []
        while self._channel is not None:
            try:
                data = self._channel.recv(_FORK_ANSWER)
            except BlockingIOError:
                break
            except ConnectionError:
                break  # it ended with orders unread; SIGCHLD follows
            if not data:
                break
            answer = zygote.unpack_answer(data)
            found += self._answered(answer)
        return found

    def _answered(self, answer: zygote.ForkAnswer) -> list[Event]:
        if answer == zygote.WARM:
            return [events.ZygoteWarm()]
        child = self._children.get(answer.host)
        if child is None:
            return []
        if not answer.pid:
            del self._children[answer.host]
            self._forget(child)
            return [events.ForkFailed(answer.host, answer.error)]
        child.pid = answer.pid
        self._hosts[answer.pid] = answer.host
        found: list[Event] = [events.Forked(answer.host)]
        if answer.pid in self._unclaimed:  # it ended before this answer was read
            found += self._host_ended(answer.host, self._unclaimed.pop(answer.pid))
        return found

    def _zygote_ended(self, status: int) -> list[Event]:
        found = self._read_channel()  # what it forked before it ended
        self._zygote_pid = 0
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        for child in [c for c in self._children.values() if not c.pid]:
            del self._children[child.host]
            self._forget(child)
            found.append(events.ForkFailed(child.host, "the zygote ended"))
        return [*found, events.ZygoteEnded(_how(os.waitstatus_to_exitcode(status)))]

    def _host_ended(self, host: HostId, status: int) -> list[Event]:
        child = self._children[host]
        found = _read_report(child)
        while child.read_errors():
            pass  # the pipe is all that a dead host can have left
        reading = child.scoreboard.read()
        ended = events.Exited(
            host=host,
            code=os.waitstatus_to_exitcode(status),
            task=reading.task,
            begun=child.scoreboard.recent(),
            errors=child.errors,
        )
        del self._children[host]
        del self._hosts[child.pid]
        self._forget(child)
        return [*found, ended]

    def _signal(self, host: HostId, number: int) -> None:
        child = self._children.get(host)
        if child is not None and child.pid:
            os.kill(child.pid, number)

    def _forget(self, child: Child) -> None:
        child.close()
        listening.remove(child.up.endpoint)


def _read_report(child: Child) -> list[Event]:
    try:
        said = child.read_report()
    except ProtocolError as error:
        return [events.KillWanted(child.host, str(error))]
    found: list[Event] = []
    for one in said:
        if isinstance(one, LayersTold):
            found.append(events.Sealed(child.host, one.layers, one.lacking))
        else:
            found.append(events.Ready(child.host))
    return found


def _pipe() -> tuple[int, int]:
    """Return a pipe on which neither end ever waits."""
    return os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    return f"killed by {signal.Signals(-code).name}"
