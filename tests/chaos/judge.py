"""What was promised and not kept: a trial in, verdicts out.

A failure that a client sees is right only if a fault that may cost it was on, and only
as many are as that fault may cost (`kinds`). Everything else here must not happen,
whatever is on.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from tests.chaos import body, matching
from tests.chaos.body import Origin, ShortBodyError, WrongBodyError
from tests.chaos.kinds import KINDS, Failure, Lane
from tests.chaos.record import (
    Act,
    Execution,
    Framing,
    Order,
    Seen,
    Trial,
    Version,
)
from tests.chaos.versions import ABSENT, allowed

_STATUSES = {
    502: Failure.BAD_GATEWAY,
    503: Failure.UNAVAILABLE,
    504: Failure.TIMEOUT,
}
_AFTERMATH_S = 10.0
_HANGS_S = 6.0  # what hangs is to be replaced, or done without, by then
_WITHIN_S = 3.0  # then somebody is answered, however busy the machine is
_WEB_FAULTS = frozenset(
    {"kill_front", "kill_roles", "cut_web_links", "stop_front", "restart"}
)
"""After which nginx itself may send a safe request once more."""


class Claim(Enum):
    """What holds for every request, whatever is done to the farm."""

    ANSWERED = "every request is answered exactly once"
    BODY = "a reply is the right one, of one run"
    VISIBLE = "a reply that was cut short looks so"
    ONCE = "an unsafe request runs at most once"
    TWICE = "a safe request runs once more at most, and only after a fault"
    RUN = "an answer is that of a run of its request"
    FRESH = "nothing old is served after a deploy was acknowledged"
    ERRORS = "a request fails only as the fault may cost it"
    SERVED = "warm scripts are served while something hangs"
    REPLACED = "a role that hangs is replaced"
    LEFT = "nothing is left over"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A claim that did not hold."""

    claim: Claim
    what: str
    order: Order | None  # None: of the farm as a whole
    at: float
    acts: tuple[Act, ...]  # that may have to do with it, see `suspects`

    @property
    def cause(self) -> str:
        """The kinds that were on."""
        return "+".join(sorted({act.kind for act in self.acts})) or "nothing"


@dataclass(frozen=True, slots=True)
class _Failed:
    seen: Seen
    failure: Failure


@dataclass(slots=True)
class _Found:
    """What the look at single replies has found."""

    verdicts: list[Verdict]
    failed: list[_Failed]
    origins: dict[str, Origin]  # by request, of what began as a reply


def judge(trial: Trial) -> list[Verdict]:
    """Return what did not hold, in the order of its time."""
    found = _Found([], [], {})
    for seen in trial.seen:
        _look(trial, seen, found)
    verdicts = found.verdicts
    verdicts += _one_run_one_reply(trial, found.origins)
    verdicts += _executions(trial, found.origins)
    verdicts += _unexcused(trial.acts, found.failed)
    verdicts += _unserved(trial)
    verdicts += [
        Verdict(Claim.REPLACED, f"{title} hangs for ever", None, act.ended, (act,))
        for act in trial.acts
        for title in act.unreplaced
    ]
    end = max((act.ended for act in trial.acts), default=0.0)
    end = max([end, *[seen.ended for seen in trial.seen]])
    verdicts += [Verdict(Claim.LEFT, what, None, end, ()) for what in trial.left]
    return sorted(verdicts, key=lambda verdict: verdict.at)


def during(
    acts: Sequence[Act], sent: float, ended: float, margin_s: float = _AFTERMATH_S
) -> tuple[Act, ...]:
    """Return the acts that were on in a time, or had ended shortly before it."""
    return tuple(
        [act for act in acts if act.began <= ended and act.ended + margin_s >= sent]
    )


def suspects(acts: Sequence[Act], sent: float, ended: float) -> tuple[Act, ...]:
    """Return the acts that may be to blame for what happened to a request.

    They are the faults that were on while it ran; only if there are none, those that
    had ended shortly before, and only then the deploys.
    """
    faults = [act for act in acts if KINDS[act.kind].lane is Lane.FAULTS]
    return (
        during(faults, sent, ended, 0.0)
        or during(faults, sent, ended)
        or during(acts, sent, ended)
    )


# ---- single replies ----------------------------------------------------------------


def _look(trial: Trial, seen: Seen, found: _Found) -> None:
    """Look at one reply by itself."""

    def wrong(claim: Claim, what: str) -> None:
        acts = suspects(trial.acts, seen.sent, seen.ended)
        found.verdicts.append(Verdict(claim, what, seen.order, seen.ended, acts))

    if seen.framing is Framing.EXTRA:
        wrong(Claim.ANSWERED, f"more came after the reply: {seen.why}")
        return
    failure = _failure(seen)
    if failure is not None:
        found.failed.append(_Failed(seen, failure))
    if seen.status not in {200, 404}:
        return
    versions = _versions(trial, seen)
    if seen.status == 404:
        if all(version.generation != ABSENT for version in versions):
            # one that was deleted once may be missing because that is old
            is_old = seen.order.script in _deleted(trial)
            claim = Claim.FRESH if is_old else Claim.ERRORS
            wrong(claim, f"404 although there is {_named(versions)}")
        return
    try:
        origin = body.check(seen.order, seen.body)
    except WrongBodyError as error:
        wrong(Claim.BODY, str(error))
    except ShortBodyError as error:
        if seen.framing is Framing.WHOLE:
            wrong(Claim.VISIBLE, f"looks whole: {error}")
    else:
        found.origins[seen.order.id] = origin
        if not any(_is_of(origin, version) for version in versions):
            said = f"generation {origin.generation} of release {origin.release}"
            wrong(Claim.FRESH, f"{said} where {_named(versions)} may be served")


def _failure(seen: Seen) -> Failure | None:
    """Return in which way a request failed, as its client saw it."""
    if seen.framing is Framing.NONE:
        return Failure.NONE
    if seen.status not in {200, 404}:
        return _STATUSES.get(seen.status, Failure.OTHER)
    return Failure.CUT if seen.framing is Framing.CUT else None


def _is_of(origin: Origin, version: Version) -> bool:
    return (origin.generation, origin.release) == (version.generation, version.release)


def _versions(trial: Trial, seen: Seen) -> list[Version]:
    order = seen.order
    of_script = [
        version
        for version in trial.versions
        if (version.pool, version.script) == (order.pool, order.script)
    ]
    return allowed(of_script, seen.sent, seen.ended)


def _deleted(trial: Trial) -> set[str]:
    return {v.script for v in trial.versions if v.generation == ABSENT}


def _named(versions: Sequence[Version]) -> str:
    return " or ".join(
        [
            f"generation {version.generation} of release {version.release}"
            if version.generation != ABSENT
            else "nothing"
            for version in versions
        ]
    )


# ---- runs --------------------------------------------------------------------------


def _one_run_one_reply(
    trial: Trial, origins: Mapping[str, Origin]
) -> Iterator[Verdict]:
    """Find runs that answered two requests."""
    answered: dict[str, str] = {}
    by_id = {seen.order.id: seen for seen in trial.seen}
    for request, origin in origins.items():
        other = answered.setdefault(origin.mark, request)
        if other != request:
            seen = by_id[request]
            yield Verdict(
                Claim.BODY,
                f"run {origin.mark} has answered {other} as well",
                seen.order,
                seen.ended,
                suspects(trial.acts, seen.sent, seen.ended),
            )


def _executions(trial: Trial, origins: Mapping[str, Origin]) -> Iterator[Verdict]:
    """Compare the ledger with what was asked and answered."""
    runs: defaultdict[str, list[Execution]] = defaultdict(list)
    for execution in trial.executions:
        runs[execution.id].append(execution)
    for seen in trial.seen:
        order = seen.order
        if order.pool not in trial.ledger_pools:
            continue
        acts = suspects(trial.acts, seen.sent, seen.ended)
        on = during(trial.acts, seen.sent, seen.ended)
        what = _miscounted(order, runs[order.id], on)
        if what:
            claim = Claim.TWICE if order.is_safe else Claim.ONCE
            yield Verdict(claim, what, order, seen.ended, acts)
        origin = origins.get(order.id)
        marks = {run.mark for run in runs[order.id]}
        if origin is not None and origin.mark not in marks:
            what = f"answered by run {origin.mark}; those of it are {sorted(marks)}"
            yield Verdict(Claim.RUN, what, order, seen.ended, acts)


def _miscounted(order: Order, runs: Sequence[Execution], on: Sequence[Act]) -> str:
    """Return in which way a request ran too often; empty: it did not."""
    most = 1
    if order.is_safe and on:
        most = 2 + 2 * len([act for act in on if act.kind in _WEB_FAULTS])
    if len(runs) <= most:
        return ""
    whole = len([run for run in runs if run.has_ended])
    return f"{len(runs)} runs, {whole} of them to the end; {most} may be"


def _unserved(trial: Trial) -> Iterator[Verdict]:
    """Find faults through which others should have served, and nobody was."""
    for act in trial.acts:
        if (
            not KINDS[act.kind].is_served
            or act.ended - act.began < _HANGS_S + _WITHIN_S
        ):
            continue
        since = act.began + _HANGS_S
        if not any(since <= seen.ended <= act.ended for seen in trial.seen):
            what = f"no answer from {_HANGS_S:g} s after its beginning to its end"
            yield Verdict(Claim.SERVED, what, None, act.ended, (act,))


# ---- failures ----------------------------------------------------------------------


def _unexcused(acts: Sequence[Act], failed: Sequence[_Failed]) -> Iterator[Verdict]:
    """Find the failures that no fault may have cost, each charged to one fault."""
    room = [_room(act) for act in acts]
    wishes = []
    for one in failed:
        is_second = _is_second(acts, one.seen)
        wishes.append(
            [n for n, act in enumerate(acts) if _excuses(act, one, is_second=is_second)]
        )
    charged = matching.assigned(wishes, room)
    for one, excused, wished in zip(failed, charged, wishes, strict=True):
        if excused is not None:
            continue
        seen = one.seen
        what = f"{one.failure.value}"
        if one.failure is Failure.OTHER:
            what = f"status {seen.status}"
        if wished:
            what += ", more than the fault may cost"
        detail = seen.why or _printable(seen.body)
        yield Verdict(
            Claim.ANSWERED if one.failure is Failure.NONE else Claim.ERRORS,
            f"{what}: {detail}",
            seen.order,
            seen.ended,
            suspects(acts, seen.sent, seen.ended),
        )


def _room(act: Act) -> int | None:
    costs = KINDS[act.kind].costs
    return None if costs is None else costs * act.victims


def _excuses(act: Act, one: _Failed, *, is_second: bool) -> bool:
    """Say whether a fault may have cost a request.

    is_second: it was not the first fault that took hosts away while the request ran. A
    safe one that has been run once more already is not run again.
    """
    kind = KINDS[act.kind]
    if act.ended - act.began < kind.patience_s:
        return False
    may = kind.safe if one.seen.order.is_safe and not is_second else kind.unsafe
    return one.failure in may and bool(
        during([act], one.seen.sent, one.seen.ended, kind.aftermath_s)
    )


def _is_second(acts: Sequence[Act], seen: Seen) -> bool:
    losses = [act for act in acts if KINDS[act.kind].loses_hosts and act.victims]
    return len(during(losses, seen.sent, seen.ended, 0.0)) > 1


def _printable(text: bytes) -> str:
    return " ".join(text[:200].decode("latin-1").split())
