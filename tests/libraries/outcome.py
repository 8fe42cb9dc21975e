"""What a job came to, as its lines say."""

import re
from dataclasses import dataclass, field

_LINE = re.compile(rb"^\x01(ok|not ok|end)\t([^\t\n]*)(?:\t([^\n]*))?$", re.MULTILINE)


@dataclass(slots=True)
class Outcome:
    """Tests by name: the empty text, or why they failed."""

    tests: dict[str, str] = field(default_factory=dict)
    is_whole: bool = False  # it came to its end
    last_words: str = ""  # what else was said, if it did not

    @property
    def passed(self) -> set[str]:
        return {name for name, why in self.tests.items() if not why}


def read(output: bytes, last_words: str = "") -> Outcome:
    """Return the outcome that an output tells, with whatever stands between."""
    outcome = Outcome(last_words=last_words)
    for kind, name, why in _LINE.findall(output):
        if kind == b"end":
            outcome.is_whole = True
        else:
            text = "" if kind == b"ok" else why.decode("utf-8", "replace") or "?"
            outcome.tests[name.decode("utf-8", "replace")] = text
    return outcome
