"""What a crime is: a sentence, who is attacked, what is done, what must come of it."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from tests.captured.captive import Deed


class Fate(Enum):
    """What must become of a host that commits it."""

    GONE = "gone"  # it breaks a rule: killed and replaced
    LATE = "late"  # it is silent about something: killed when no honest host would be
    FREE = "free"  # it harms nobody but itself, and may go on
    EITHER = "either"  # it harms nobody, and is killed if it is seen


@dataclass(frozen=True, slots=True)
class Crime:
    """One of the catalogue; `deed` is run in the captured host."""

    name: str
    about: str
    against: str  # "front", "broker" or "supervisor"
    deed: Deed
    fate: Fate = Fate.GONE
    body_bytes: int = 10  # of the request that asks for it
    times: int = 1


def table(
    against: str,
) -> tuple[dict[str, Crime], Callable[..., Callable[[Deed], Deed]]]:
    """Return an empty table of crimes, and what puts a function into it.

    The crime has the function's name, and the first line of its docstring.
    """
    crimes: dict[str, Crime] = {}

    def crime(
        fate: Fate = Fate.GONE, *, body_bytes: int = 10, times: int = 1
    ) -> Callable[[Deed], Deed]:
        def enter(deed: Deed) -> Deed:
            about = (deed.__doc__ or "").strip().partition("\n")[0]
            name = deed.__name__
            crimes[name] = Crime(name, about, against, deed, fate, body_bytes, times)
            return deed

        return enter

    return crimes, crime
