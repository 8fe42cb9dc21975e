"""What is told of a VM host that has ended: to others, and in the log."""

from typing import Final

from luafarm.ends import Death
from luafarm.names import RequestId, Script
from luafarm.wire.messages import HostLost
from vmhost.deaths import Cause
from vmhost.supervisor import events
from vmhost.supervisor.actions import Level, Say

_ERRORS_SAID: Final = 1000  # of a dead host's standard error, in the log


def lost(cause: Cause, event: events.Exited) -> HostLost:
    """Return what broker and fronts are told."""
    task = event.task
    return HostLost(
        host=event.host,
        running=RequestId(0) if task is None else task.request,
        begun=event.begun,
        script=Script(b"") if task is None else task.script,
        reason=cause.reason,
        detail=cause.detail,
    )


def line(cause: Cause, event: events.Exited, *, quiet: bool) -> Say:
    """Return what the log says of a host's end; quiet: asked for, or known."""
    level = Level.WARNING
    if quiet or cause.reason == Death.LACKING:
        level = Level.DEBUG
    elif cause.reason in {Death.SECCOMP, Death.CRASH}:
        level = Level.ERROR
    text = f"host={event.host} lost reason={cause.reason}"
    if event.task is not None:
        text += f" script={event.task.script.decode('utf-8', 'backslashreplace')}"
    text += f": {cause.detail}"
    errors = event.errors.strip()[-_ERRORS_SAID:]
    return Say(level, f"{text}\n{errors}" if errors else text)
