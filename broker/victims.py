"""Which state goes when there is no space: the one whose key (`broker.heat`) is lowest.

One heap gives it in O(log n): nothing is scanned and no timer halves anything.
"""

# Compiled.

from typing import TYPE_CHECKING

from broker.tables import Record, State

if TYPE_CHECKING:
    from luafarm.names import Pool


class Victims:
    """States in a heap by key; each knows its position, so any can be moved or taken.

    Binary heap over `State.key` with ties broken by `State.serial`, so that the same
    events always give the same victim.
    """

    def __init__(self) -> None:
        self._heap: list[State] = []

    def __len__(self) -> int:
        """Return the number of states that may go."""
        return len(self._heap)

    def least(self) -> State | None:
        """Return the state that is worth least, or None when there is none."""
        return self._heap[0] if self._heap else None

    def least_but(self, record: Record) -> State | None:
        """Return the state worth least of those of other scripts, or None."""
        least = self.least()
        if least is None or least.record is not record:
            return least
        own = [state for state in record.states if state.position >= 0]
        for state in own:
            self.remove(state)
        least = self.least()
        for state in own:
            self.put(state, state.key)
        return least

    def put(self, state: State, key: float) -> None:
        """Insert the state, or move it to where this key belongs."""
        old = state.key
        state.key = key
        if state.position < 0:
            state.position = len(self._heap)
            self._heap.append(state)
            self._up(state.position)
        elif key < old:
            self._up(state.position)
        else:
            self._down(state.position)

    def remove(self, state: State) -> None:
        """Take the state out, if it is in."""
        position = state.position
        if position < 0:
            return
        state.position = -1
        last = self._heap.pop()
        if last is state:
            return
        self._heap[position] = last
        last.position = position
        self._up(position)
        self._down(last.position)

    def _up(self, position: int) -> None:
        heap = self._heap
        state = heap[position]
        while position > 0:
            parent = heap[(position - 1) >> 1]
            if not _before(state, parent):
                break
            heap[position] = parent
            parent.position = position
            position = (position - 1) >> 1
        heap[position] = state
        state.position = position

    def _down(self, position: int) -> None:
        heap = self._heap
        state = heap[position]
        end = len(heap)
        while True:
            child = 2 * position + 1
            if child >= end:
                break
            if child + 1 < end and _before(heap[child + 1], heap[child]):
                child += 1
            if not _before(heap[child], state):
                break
            heap[position] = heap[child]
            heap[position].position = position
            position = child
        heap[position] = state
        state.position = position

    def check(self) -> None:
        """Raise AssertionError if order or positions are wrong."""
        for i, state in enumerate(self._heap):
            assert state.position == i, state.record.script
            if i:
                assert not _before(state, self._heap[(i - 1) >> 1]), i


class PoolVictims:
    """The victims of each pool. Pools are few: the least of all is looked for."""

    def __init__(self) -> None:
        self._pools: dict[Pool, Victims] = {}

    def least_but(self, record: Record, *, own_pool: bool) -> State | None:
        """Return the state worth least of those of other scripts, or None.

        own_pool: of scripts of the record's pool only.
        """
        if own_pool:
            mine = self._pools.get(record.pool)
            return mine.least_but(record) if mine is not None else None
        least: State | None = None
        for victims in self._pools.values():
            found = victims.least_but(record)
            if found is not None and (least is None or _before(found, least)):
                least = found
        return least

    def least(self, pool: "Pool") -> State | None:
        """Return the state of a pool that is worth least, or None."""
        victims = self._pools.get(pool)
        return victims.least() if victims is not None else None

    def put(self, state: State, key: float) -> None:
        """Insert the state, or move it to where this key belongs."""
        pool = state.record.pool
        victims = self._pools.get(pool)
        if victims is None:
            victims = self._pools[pool] = Victims()
        victims.put(state, key)

    def remove(self, state: State) -> None:
        """Take the state out, if it is in."""
        if state.position >= 0:
            self._pools[state.record.pool].remove(state)

    def check(self) -> None:
        """Raise AssertionError if order or positions are wrong."""
        for victims in self._pools.values():
            victims.check()


def _before(a: State, b: State) -> bool:
    return a.key < b.key or (a.key == b.key and a.serial < b.serial)
