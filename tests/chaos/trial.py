"""One run of the suite: a farm, load, faults, and what is left when all is over."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.chaos import director, ledger, load, mix, stage
from tests.chaos.judge import Verdict, judge
from tests.chaos.kinds import Kind
from tests.chaos.record import Act, Trial
from tests.chaos.schedule import timeline
from tests.chaos.stage import Stage
from tests.farm.farms import until


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened, and what of it must not."""

    trial: Trial
    verdicts: list[Verdict]
    start: float
    is_tcp: bool


def run(
    seed: int,
    seconds: float,
    kinds: tuple[Kind, ...],
    *,
    tell: Callable[[float, Act], None] = lambda start, act: None,
    keep: Callable[[Path], None] = lambda log: None,
) -> Outcome:
    """Run it. tell: is told of every act; keep: is given the farm's log at the end."""
    planned = timeline(seed, seconds, kinds)
    with stage.opened(seed, keep) as farm:
        left: list[str] = []
        with stage.behind_nginx(farm):
            pass  # all is warm, and nginx holds no connection any more
        before = farm.baseline()
        with stage.behind_nginx(farm) as web_log:
            with load.loading(farm.port, seed) as clients:

                def told(act: Act) -> None:
                    tell(start, act)

                start = time.monotonic()
                with director.directing(farm, planned, told) as directing:
                    directing.finish(seconds)
            left += _recovery(farm)
            keep(web_log)
        left += farm.growth(before)
        left += _end(farm)
        trial = Trial(
            tuple(clients.seen),
            farm.site.versions(),
            tuple(sorted(directing.acts, key=lambda act: act.began)),
            ledger.executions(farm.site.ledger.read_text()),
            frozenset({mix.LEDGER_POOL}),
            tuple(left),
        )
        return Outcome(trial, judge(trial), start, farm.is_tcp)


def _recovery(farm: Stage) -> list[str]:
    """Wait until everything is served again; return what is not."""
    if farm.has_ended():
        return ["`luafarm up` has ended by itself"]
    with contextlib.suppress(AssertionError):
        until(farm.serves, "every script is served again", stage.RECOVERED_S)
        return []
    return [f"not served again: {one}" for one in farm.silent()]


def _end(farm: Stage) -> list[str]:
    """Stop the farm; return what was not in order."""
    if farm.has_ended():
        return farm.remains()
    code = farm.stop()
    return [*([f"exit code {code}"] if code else []), *farm.outlived, *farm.remains()]
