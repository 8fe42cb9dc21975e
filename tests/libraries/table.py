"""The table of docs/lua-api.md: libraries and dialects, here and in plain Lua."""

from pathlib import Path
from typing import Final

from luafarm.dialects import Dialect
from tests.libraries import comparison
from tests.libraries.comparison import Comparison, Tally

MANUAL: Final = Path(__file__).resolve().parents[2] / "docs" / "lua-api.md"
BEGIN: Final = "<!-- python -m tests.libraries --write -->\n"
END: Final = "<!-- end -->\n"


def render(found: list[Comparison]) -> str:
    """Return the table, its sums and the list of what is missing, as Markdown."""
    dialects = [d for d in Dialect if any(one.dialect is d for one in found)]
    by_name: dict[str, dict[Dialect, Comparison]] = {}
    for one in found:
        by_name.setdefault(one.library, {})[one.dialect] = one
    lines = [
        "| library | " + " | ".join(dialects) + " |",
        "|---" * (len(dialects) + 1) + "|",
    ]
    for name, row in by_name.items():
        cells = [_cell(row[d]) if d in row else "" for d in dialects]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    sums = []
    for dialect in dialects:
        ones = [one for one in found if one.dialect is dialect]
        files, tests = (
            _sum([getattr(one, part) for one in ones]) for part in ("files", "tests")
        )
        sums.append(f"**{files}; {tests}**")
    lines.append("| **all** | " + " | ".join(sums) + " |")
    head = ["What passes there and not here, with the reason:", ""]
    return "\n".join([*lines, "", *head, *_reasons(found)]) + "\n"


def _cell(one: Comparison) -> str:
    files = f"{one.files.here}/{len(one.files.plain)}"
    return (
        f"{files}; {one.tests.here}/{len(one.tests.plain)}"
        if one.tests.plain
        else files
    )


def _sum(tallies: list[Tally]) -> str:
    return f"{sum(t.here for t in tallies)}/{sum(len(t.plain) for t in tallies)}"


def _reasons(found: list[Comparison]) -> list[str]:
    """Return a line for each reason, with how many it is of in each library."""
    counted: dict[str, dict[str, dict[str, None]]] = {}
    for one in found:
        for name in {**one.files.missing, **one.tests.missing}:
            why = comparison.reason(one.library, one.dialect, name) or "not known"
            counted.setdefault(why, {}).setdefault(one.library, {})[name] = None
    return [
        f"- {why}: "
        + ", ".join(f"{library} {len(names)}" for library, names in sorted(of.items()))
        for why, of in sorted(counted.items())
    ]


def write(text: str) -> None:
    """Put the table into the manual, between its marks."""
    manual = MANUAL.read_text()
    before, _, rest = manual.partition(BEGIN)
    _, _, after = rest.partition(END)
    MANUAL.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")
