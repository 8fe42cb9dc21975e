"""The kinds of faults: what each may cost, by the invariants, and no more.

A failure counts against a fault that was on while the request ran, or had been shortly
before. `costs` bounds how many requests one victim of the fault may cost: a killed VM
host costs at most the one that it ran. What is not named here must not happen at all.
"""

from dataclasses import dataclass
from enum import Enum


class Failure(Enum):
    """How a request may fail in a way that its client sees."""

    BAD_GATEWAY = "502"
    UNAVAILABLE = "503"
    TIMEOUT = "504"
    CUT = "cut"
    NONE = "no answer"
    OTHER = "other status"


class Lane(Enum):
    """Faults of one lane come one after the other, those of two side by side."""

    FAULTS = "faults"
    DEPLOYS = "deploys"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault, reload or deploy."""

    name: str
    about: str
    lane: Lane = Lane.FAULTS
    span_s: tuple[float, float] = (0.0, 0.0)
    safe: frozenset[Failure] = frozenset()  # how a safe request may fail
    unsafe: frozenset[Failure] = frozenset()
    costs: int | None = None  # requests for each victim; None: all that were on the way
    aftermath_s: float = 10.0  # a failure that comes later is not its work
    patience_s: float = 0.0  # what is over sooner costs nothing: it is only slow
    is_served: bool = False  # whether others go on serving however long it lasts

    @property
    def loses_hosts(self) -> bool:
        """Whether its victims are VM hosts, or their connections."""
        return _502 in self.unsafe - self.safe


_502, _503, _504, _CUT = (
    Failure.BAD_GATEWAY,
    Failure.UNAVAILABLE,
    Failure.TIMEOUT,
    Failure.CUT,
)


def _of(*failures: Failure) -> frozenset[Failure]:
    return frozenset(failures)


REPLACED_S = 5.0
"""What hangs for this long is to have been replaced: it is not told to go on."""

_LONG = (3.0, 10.0)  # around the time after which what hangs is replaced
_PATIENCE_S = 4.5
_ROLE_PATIENCE_S = 1.9  # 3 s since the last beat, and one comes each second
_SHORT = (2.0, 4.0)

_ALL = (
    # ---- what is killed
    Kind("kill_host", "one VM host", unsafe=_of(_502, _CUT), safe=_of(_CUT), costs=1),
    Kind(
        "kill_hosts",
        "two VM hosts at once",
        unsafe=_of(_502, _CUT),
        safe=_of(_CUT),
        costs=1,
    ),
    Kind("kill_zygote", "what VM hosts are forked from"),
    Kind(
        "kill_supervisor",
        "the supervisor, and its VM hosts with it",
        unsafe=_of(_502, _CUT),
        safe=_of(_CUT),
        costs=1,
    ),
    Kind("kill_broker", "the broker"),
    Kind(
        "kill_front",
        "one of the fronts",
        unsafe=_of(_502, _CUT),
        safe=_of(_502, _CUT),
        aftermath_s=2.0,
    ),
    Kind(
        "kill_roles",
        "everything but `luafarm up`",
        unsafe=_of(_502, _CUT),
        safe=_of(_502, _CUT),
    ),
    # ---- what is stopped, and goes on
    Kind(
        "stop_host",
        "a VM host hangs",
        span_s=_LONG,
        patience_s=_PATIENCE_S,
        is_served=True,
        unsafe=_of(_502, _504, _CUT),
        safe=_of(_504, _CUT),
        costs=1,
    ),
    Kind(
        "stop_supervisor",
        "the supervisor hangs",
        span_s=_LONG,
        patience_s=_ROLE_PATIENCE_S,
        is_served=True,
        unsafe=_of(_502, _CUT),
        safe=_of(_CUT),
        costs=1,
    ),
    Kind("stop_broker", "the broker hangs", span_s=_LONG, is_served=True),
    Kind(
        "stop_front",
        "a front hangs",
        span_s=_LONG,
        patience_s=_ROLE_PATIENCE_S,
        unsafe=_of(_502, _CUT),
        safe=_of(_502, _CUT),
        aftermath_s=2.0,
    ),
    Kind("stop_all", "the whole farm is paused", span_s=_LONG),
    # ---- what is scarce
    Kind("starve_cpu", "busy loops, twice as many as processors", span_s=_SHORT),
    Kind(
        "starve_fds",
        "a process may open nothing more",
        span_s=_SHORT,
        unsafe=_of(_503),
        safe=_of(_503),
    ),
    Kind(
        "starve_disk",
        "the disk of run directory and spools is full",
        span_s=_SHORT,
        unsafe=_of(_503, _CUT),
        safe=_of(_503, _CUT),
    ),
    Kind("starve_memory", "a script takes all memory that it gets", span_s=_SHORT),
    # ---- what is cut
    Kind(
        "cut_host_link",
        "a front's connection to a VM host",
        unsafe=_of(_502, _CUT),
        safe=_of(_CUT),
        costs=1,
    ),
    Kind(
        "cut_web_links",
        "all TCP connections between nginx and a front",
        unsafe=_of(_502, _CUT),
        safe=_of(_502, _CUT),
        costs=1,
        aftermath_s=2.0,
    ),
    Kind("cut_broker_link", "the connections of the broker to one peer"),
    # ---- where output goes
    Kind("stall_output", "nobody reads what the farm logs", span_s=_SHORT),
    Kind("close_output", "the pipe of the log is closed, for good"),
    # ---- what an administrator does
    Kind("hup", "HUP: every process is replaced", lane=Lane.DEPLOYS),
    Kind("reopen", "USR1: logs are reopened", lane=Lane.DEPLOYS),
    Kind("reload", "`luafarm reload` of everything", lane=Lane.DEPLOYS),
    Kind(
        "restart",
        "`luafarm up` is stopped and started again; nobody listens meanwhile",
        unsafe=_of(_502),
        safe=_of(_502),
    ),
    # ---- deploys
    Kind("flip", "a symlink is flipped to another release", lane=Lane.DEPLOYS),
    Kind("rename", "one script is replaced by rename", lane=Lane.DEPLOYS),
    Kind("in_place", "one script is written over where it is", lane=Lane.DEPLOYS),
    Kind("delete", "one script goes, and comes back", lane=Lane.DEPLOYS),
)

KINDS: dict[str, Kind] = {kind.name: kind for kind in _ALL}
"""By name."""


WITHSTOOD = (
    "kill_host,kill_hosts,kill_zygote,kill_broker,kill_front,kill_roles,"
    "stop_host,stop_supervisor,stop_broker,stop_front,stop_all,starve_memory,"
    "cut_host_link,cut_web_links,cut_broker_link,stall_output,"
    "hup,reopen,reload,flip,rename,in_place,delete"
)
"""What the farm withstands without breaking a promise; docs/reliability.md."""


def chosen(names: str) -> tuple[Kind, ...]:
    """Return the kinds that a list with commas names; empty: all. Raise ValueError.

    A name that begins with `-` is taken away, `kill` stands for all that begin with it.
    """
    words = [word.strip() for word in names.split(",") if word.strip()]
    wanted = [word for word in words if not word.startswith("-")]
    without = [word[1:] for word in words if word.startswith("-")]
    for word in (*wanted, *without):
        if not any(_is_meant(word, name) for name in KINDS):
            raise ValueError(f"no fault is called {word!r}")
    return tuple(
        [
            kind
            for name, kind in KINDS.items()
            if (not wanted or any(_is_meant(word, name) for word in wanted))
            and not any(_is_meant(word, name) for word in without)
        ]
    )


def _is_meant(word: str, name: str) -> bool:
    return name == word or name.startswith(word + "_")
