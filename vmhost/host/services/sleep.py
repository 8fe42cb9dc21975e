"""A script that wants to wait.

SLEEP    seconds; answer: True
"""

from typing import Final

from vmhost.host.services.service import Service
from vmhost.host.task import Pause, Task
from vmhost.lua.operation import Operation, Step


def _ask(_task: Task, step: Step, now_ns: int) -> Pause:
    return Pause(now_ns + int(step[1] * 1e9))


SLEEP: Final = Service(Operation("SLEEP", 7, (float,), (bool,)), _ask)
