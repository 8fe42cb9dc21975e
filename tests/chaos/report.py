"""The table that a run of the suite ends with."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from tests.chaos.judge import Claim, Verdict
from tests.chaos.kinds import KINDS
from tests.chaos.record import Act, Framing, Seen, Trial

_SHOWN = 3  # examples of each kind of wrong


def table(trial: Trial, verdicts: Sequence[Verdict], start: float) -> str:
    """Return what was asked, what was done, what came of it, and what is wrong."""
    return "\n".join(
        [
            *_requests(trial.seen),
            "",
            *_acts(trial.acts, trial.seen, verdicts),
            "",
            *_claims(verdicts),
            *_wrong(verdicts, start),
            "",
        ]
    )


def _requests(seen: Iterable[Seen]) -> list[str]:
    rows: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for one in seen:
        row = rows[one.order.script, one.order.method]
        row[outcome(one)] += 1
    outcomes = sorted({name for row in rows.values() for name in row})
    lines = ["request".ljust(20) + "".join([name.rjust(11) for name in outcomes])]
    for (script, method), row in sorted(rows.items()):
        counts = "".join([str(row[name] or "").rjust(11) for name in outcomes])
        lines.append(f"{method:4} {script:15}{counts}")
    return lines


def outcome(seen: Seen) -> str:
    """Return what a client got, in a word or two."""
    if seen.framing in {Framing.NONE, Framing.LEFT, Framing.EXTRA}:
        return "no answer" if seen.framing is Framing.NONE else seen.framing.value
    cut = " cut" if seen.framing is Framing.CUT else ""
    return f"{seen.status}{cut}"


def _acts(
    acts: Sequence[Act], seen: Sequence[Seen], verdicts: Sequence[Verdict]
) -> list[str]:
    lines = [
        "fault               times  no victim  wrong results that it alone may explain"
    ]
    for name in KINDS:
        done = [act for act in acts if act.kind == name]
        if not done:
            continue
        alone = [v for v in verdicts if {act.kind for act in v.acts} == {name}]
        idle = len([act for act in done if not act.victims])
        lines.append(f"{name:18} {len(done):6} {idle or '':>10}  {len(alone) or ''}")
    lines.append(f"{len(acts)} in all, {len(seen)} requests")
    return lines


def _claims(verdicts: Sequence[Verdict]) -> list[str]:
    counts = Counter(verdict.claim for verdict in verdicts)
    return [f"{counts[claim]:6} times not: {claim.value}" for claim in Claim]


def _wrong(verdicts: Sequence[Verdict], start: float) -> list[str]:
    groups: defaultdict[tuple[Claim, str], list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        groups[verdict.claim, verdict.cause].append(verdict)
    lines = []
    for (claim, cause), group in sorted(
        groups.items(), key=lambda item: (item[0][0].value, item[0][1])
    ):
        lines += ["", f"{claim.value}: not so {len(group)} times with {cause}"]
        for verdict in group[:_SHOWN]:
            lines.append(f"  {verdict.at - start:6.1f} s {_who(verdict)}")
            lines.append(f"    {verdict.what[:400]}")
    return lines


def _who(verdict: Verdict) -> str:
    order = verdict.order
    if order is None:
        return "the farm"
    return f"{order.id} {order.method} {order.pool}/{order.script}"
