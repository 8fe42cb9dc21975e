"""The ledger: a file to which scripts append a line when they begin, and when they end.

A line is one write(2) to a descriptor opened with O_APPEND, so no two lines mix, and
none is lost with the process that wrote it.
"""

from tests.chaos.record import Execution


def executions(text: str) -> tuple[Execution, ...]:
    """Return the runs that it tells of, in the order in which they began."""
    methods: dict[tuple[str, str], str] = {}
    ended: set[tuple[str, str]] = set()
    for line in text.splitlines():
        word, request, mark, method = line.split(" ")
        assert word in {"begin", "end"}, line
        if word == "begin":
            assert (request, mark) not in methods, f"begun twice by one run: {line}"
            methods[request, mark] = method
        else:
            ended.add((request, mark))
    assert ended <= methods.keys(), f"ended before they began: {ended - methods.keys()}"
    return tuple(
        [
            Execution(request, mark, method, (request, mark) in ended)
            for (request, mark), method in methods.items()
        ]
    )
