"""The end of a reply, or of the client's interest, before the script's own end.

FINISH   head, chunk, log; answer: True
DETACH   0; answer: True

Either way the run goes on within its budgets, whatever becomes of its client: nothing
that a front says, nor its end, stops it.
"""

from typing import Final

from vmhost.host.services.service import Service
from vmhost.host.task import Answer, Pause, Task
from vmhost.lua.operation import Operation, Step


def _finish(task: Task, step: Step, now_ns: int) -> Pause:
    _, head, chunk, log = step
    task.finish(head, chunk, log)
    return Pause(now_ns)


def _detach(task: Task, _step: Step, _now_ns: int) -> Answer:
    task.detach()
    return (True,)


FINISH: Final = Service(
    Operation("FINISH", 35, (bytes, bytes, bytes), (bool,)), _finish, needs_run=True
)
DETACH: Final = Service(
    Operation("DETACH", 36, (int,), (bool,)), _detach, needs_run=True
)
