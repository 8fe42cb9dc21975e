"""The suite has a test for every requirement of its list."""

import re
from pathlib import Path

COUNTS = {"a": 12, "b": 9, "c": 12, "d": 11, "e": 9, "f": 5, "g": 8}
COUNTS |= {"h": 9, "i": 11, "k": 6, "l": 6}
TEST = re.compile(r"^def test_((?:[a-l]\d\d_)+)", re.MULTILINE)


def test_every_requirement_has_a_test() -> None:
    found: set[str] = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        for name in TEST.findall(path.read_text()):
            found.update(name.strip("_").split("_"))
    wanted = {f"{g}{n:02d}" for g, count in COUNTS.items() for n in range(1, count + 1)}
    assert wanted - found == set()
