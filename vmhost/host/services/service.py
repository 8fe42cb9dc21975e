"""What a service is: the operation by which scripts ask, and who answers it.

A service answers at once, or gives a `Question`, which stands in the one pending slot
of the task until something that is heard, or the time, answers it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from vmhost.host.task import Answer, Question, Task
from vmhost.lua.operation import Operation, Step


@dataclass(frozen=True, slots=True)
class Service:
    """One operation and its answer."""

    operation: Operation  # its name, and the shapes of question and answer
    ask: Callable[[Task, Step, int], Answer | Question]
    """Takes the task that asks, the whole step, and the time in nanoseconds. Raises
    BrokenStateError for what the prelude never asks."""

    needs_run: bool = False  # only a request has what it is about, no load or closing
