"""Who is charged for what: each failure to one fault that may have cost it.

A fault has room for so many, or for any number. As many failures as possible are
charged, by augmenting paths (Kuhn): a failure that finds its faults full may push
another one to a fault that has room for it.
"""

from collections.abc import Sequence


def assigned(
    wishes: Sequence[Sequence[int]], room: Sequence[int | None]
) -> list[int | None]:
    """Return for each failure which fault it is charged to; None: to none.

    wishes: for each failure the faults that may have cost it. room: of each fault;
    None: without end.
    """
    charged: list[int | None] = [None] * len(wishes)
    holders: list[list[int]] = [[] for _ in room]

    def place(failure: int, tried: set[int]) -> bool:
        for fault in wishes[failure]:
            if room[fault] is None:
                charged[failure] = fault
                return True
        for fault in wishes[failure]:
            if fault in tried:
                continue
            tried.add(fault)
            held = holders[fault]
            if len(held) < (room[fault] or 0):
                held.append(failure)
                charged[failure] = fault
                return True
            for other in list(held):
                if place(other, tried):
                    held.remove(other)
                    held.append(failure)
                    charged[failure] = fault
                    return True
        return False

    for failure in range(len(wishes)):
        place(failure, set())
    return charged
