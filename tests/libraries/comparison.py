"""A library here and in plain Lua: what passes there and not here, and why."""

import tomllib
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from luafarm.dialects import Dialect
from tests.libraries import plain
from tests.libraries.outcome import Outcome
from tests.libraries.sandboxed import Worker, working
from tests.libraries.site import Job, Site

REASONS = Path(__file__).with_name("reasons.toml")


@dataclass(slots=True)
class Tally:
    """What passes in plain Lua, and of that what does not here, with its words."""

    plain: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def here(self) -> int:
        return len(self.plain) - len(self.missing)

    def add(self, name: str, why: str | None) -> None:
        """Note what passes in plain Lua; why: what it said here, if it failed."""
        self.plain.append(name)
        if why is not None:
            self.missing[name] = why


@dataclass(slots=True)
class Comparison:
    """What one library came to in one dialect."""

    library: str
    dialect: Dialect
    files: Tally = field(default_factory=Tally)
    tests: Tally = field(default_factory=Tally)


def compare(site: Site, dialect: Dialect) -> Comparison:
    """Do all jobs of a library here and there."""
    found = Comparison(site.library.name, dialect)
    with working(dialect) as worker:
        for job in site.jobs():
            theirs = plain.run(site, job, dialect)
            if not theirs.passed:
                continue
            ours = worker.run(site, job)
            if theirs.passed - ours.passed:
                theirs, ours = _again(worker, site, job, theirs, ours)
            tally = found.files if job.kind == "module" else found.tests
            for name in sorted(theirs.passed):
                shown = name if name.startswith(job.name) else f"{job.name}: {name}"
                tally.add(shown, None if name in ours.passed else _why(ours, name))
    return found


def _again(
    worker: Worker, site: Site, job: Job, theirs: Outcome, ours: Outcome
) -> tuple[Outcome, Outcome]:
    """Do a job once more: what passes by chance counts nowhere."""
    there = plain.run(site, job, worker.dialect)
    here = worker.run(site, job)
    by_chance = theirs.passed ^ there.passed
    kept = {name: why for name, why in there.tests.items() if name not in by_chance}
    for name in ours.passed:
        here.tests[name] = ""
    return Outcome(kept, there.is_whole), here


def _why(outcome: Outcome, name: str) -> str:
    if name in outcome.tests:
        return outcome.tests[name]
    return outcome.last_words or "it was not reached"


# ---- reasons ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reason:
    """Why tests of a library fail here: patterns of names, and dialects or all."""

    library: str
    tests: tuple[str, ...]
    dialects: tuple[str, ...]
    why: str

    def covers(self, library: str, dialect: Dialect, name: str) -> bool:
        """Say whether this is why a test fails."""
        return (
            library == self.library
            and (not self.dialects or dialect in self.dialects)
            and any(fnmatchcase(name, pattern) for pattern in self.tests)
        )


@cache
def reasons() -> tuple[Reason, ...]:
    """Return what reasons.toml says."""
    rows = tomllib.loads(REASONS.read_text())["missing"]
    return tuple(
        Reason(
            row["library"],
            tuple(row["tests"]),
            tuple(row.get("dialects", ())),
            row["why"],
        )
        for row in rows
    )


def reason(library: str, dialect: Dialect, name: str) -> str:
    """Return why a test fails here; empty: nobody knows."""
    found = (r.why for r in reasons() if r.covers(library, dialect, name))
    return next(found, "")


def unexplained(one: Comparison) -> dict[str, str]:
    """Return what is missing here for no reason that is listed, and what it said."""
    missing = {**one.files.missing, **one.tests.missing}
    return {
        name: said
        for name, said in missing.items()
        if not reason(one.library, one.dialect, name)
    }
