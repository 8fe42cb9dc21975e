"""A piece of the reply that is to be sent before its end.

FLUSH    head, chunk, log; answer: True

The script waits until what has come in meanwhile is heard, so one that only writes
learns that nobody wants its reply any more.
"""

from typing import Final

from vmhost.host.services.service import Service
from vmhost.host.task import Pause, Task
from vmhost.lua.operation import Operation, Step


def _ask(task: Task, step: Step, now_ns: int) -> Pause:
    _, head, chunk, log = step
    task.part(head, chunk, log)
    return Pause(now_ns)


FLUSH: Final = Service(
    Operation("FLUSH", 2, (bytes, bytes, bytes), (bool,)), _ask, needs_run=True
)
