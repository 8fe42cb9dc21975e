"""Where states go: the first one of a script, further ones, and who makes room.

A request that waits for a first state is always answered: when there is neither room
nor a victim it stands in `wanting` until one turns up. A state that has not served
since it was loaded is no victim, else misses would chase each other for ever.
"""

from typing import Final

from broker.cloning import LEAST_WAIT_S, WORTH_RATIO, Budget, wanted
from broker.events import Pressed
from broker.farm import Farm
from broker.heat import worth
from broker.tables import Generation, Record, State

YOUNG_S: Final = 1.0
"""A state that nobody used so long after its loading can be a victim after all: the
request that it was loaded for went away."""


class Placement:
    """Decides about rooms and hosts."""

    def __init__(self, farm: Farm, cores: int) -> None:
        self._farm = farm
        self._cores = cores
        self._budget = Budget(farm.settings.broker.clone_cpu_share, 0.0)

    # -- first states ----------------------------------------------------------------

    def place(self, record: Record, generation: Generation) -> bool:
        """Order a first state; what finds no room or host waits. Return if ordered."""
        farm = self._farm
        host = farm.roster.choose(record, record.idle, farm.now, False)
        if host is None or not self.make_room(record, None):
            if record.script not in farm.wanting:
                farm.count("waits_for_room" if host is not None else "waits_for_host")
            farm.wanting[record.script] = record
            return False
        farm.wanting.pop(record.script, None)
        farm.begin(record, host, generation, background=not record.waiting)
        return True

    def make_room(self, record: Record, limit_s: float | None) -> bool:
        """Make room for one state more, if a victim worth less than this must go."""
        farm = self._farm
        if farm.taken < farm.limit and not self._is_memory_full(record):
            return True
        if farm.draining >= max(16, farm.limit >> 3):
            return False  # orders to close are on their way; room would be imaginary
        victim = farm.victims.least()
        if victim is None or victim.record is record:
            return False
        value_s = worth(victim.key, farm.now, farm.half_life)
        if limit_s is not None and value_s >= limit_s:
            return False
        self.evict(victim, f"for {record.script!r}, worth {value_s * 1000:.3f} ms")
        return farm.taken < farm.limit

    def _is_memory_full(self, record: Record) -> bool:
        limit = self._farm.memory_limit_kib
        return limit > 0 and self._farm.kib + record.kib > limit

    def evict(self, state: State, reason: str) -> None:
        """Order a state to close for want of room."""
        farm = self._farm
        record = state.record
        record.last_eviction = reason
        farm.count("evictions")
        farm.drop(state)
        self.after_loss(record)

    def after_loss(self, record: Record) -> None:
        """Tell fronts that a script lost a state; forget it when that was the last."""
        farm = self._farm
        farm.publish(record)
        if farm.is_unused(record):
            farm.cool(record)

    # -- further states --------------------------------------------------------------

    def clone(self, event: Pressed) -> None:
        """Load further states of a script whose requests wait, where that helps."""
        farm = self._farm
        record = farm.records.get(event.script)
        if record is None or record.current is None:
            return
        farm.count("pressures")
        if event.waited_s < max(record.load_s, LEAST_WAIT_S):
            return
        states = len(record.states) + len(record.loads)
        if not states or any(
            x.sent and x.since == farm.now for x in record.loads.values()
        ):
            return
        waiting_s = record.waits.now(farm.now, farm.half_life) + event.total_s
        number = wanted(event.queued, record.service_s, record.load_s, states)
        for _ in range(number):
            if not self._clone_once(record, event, waiting_s):
                return

    def _clone_once(self, record: Record, event: Pressed, waiting_s: float) -> bool:
        farm = self._farm
        generation = record.current
        assert generation is not None
        states = record.states
        hosts = {s.host.id for s in states} | set(record.loads)
        if len(hosts) >= self._most(record):
            farm.count("clones_at_limit")
            return False
        host = farm.roster.choose(record, event.idle, farm.now, True)
        if host is None:
            return False
        if not self._budget.allows(record.load_s, self.cores(), farm.now):
            farm.count("clones_over_budget")
            return False
        if not self.make_room(record, waiting_s / WORTH_RATIO):
            return False
        loading = farm.begin(record, host, generation, background=False)
        loading.wait_s = event.total_s / max(event.queued, 1)
        loading.uses = float(max(event.queued, 1))
        farm.count("clones")
        return True

    def _most(self, record: Record) -> int:
        """Return how many hosts a script may take: some are left to the others."""
        farm = self._farm
        hosts = farm.roster.size(record)
        others = len(farm.records) - len(farm.ghosts) > 1
        fair = hosts - max(1, hosts // 4) if others and hosts > 2 else hosts
        return min(record.policy.clones, max(fair, 1))

    def cores(self) -> int:
        """Return the cores of the farm, guessed from its hosts when not known."""
        return self._cores or max(1, len(self._farm.roster.hosts) // 2)

    def top_up(self, record: Record) -> None:
        """Load what is missing to the least number of states of a loaded script."""
        farm = self._farm
        generation = record.current
        if generation is None or not record.states or record.next is not None:
            return
        while len({s.host.id for s in record.states} | set(record.loads)) < (
            record.policy.min_clones
        ):
            host = farm.roster.choose(record, (), farm.now, False)
            if host is None or not self.make_room(record, None):
                return
            farm.begin(record, host, generation, background=True)

    # -- lanes -----------------------------------------------------------------------

    def relane(self, record: Record, lane: int) -> None:
        """Move a script to the other lane: load it there, then drop what is here."""
        farm = self._farm
        farm.count("lane_changes")
        record.lane = lane
        self.move(record)

    def move(self, record: Record) -> None:
        """Get the script a state in its lane, if it has none."""
        farm = self._farm
        if record.current is None or record.next is not None or not record.states:
            return
        if any(farm.roster.in_lane(record, s.host) for s in record.states):
            return
        if any(farm.roster.in_lane(record, x.host) for x in record.loads.values()):
            return
        host = farm.roster.choose(record, (), farm.now, False)
        if (
            host is None
            or len(record.states) + len(record.loads) >= record.policy.clones
        ):
            return
        if self.make_room(record, None):
            farm.begin(record, host, record.current, background=True)

    def leave_lane(self, record: Record) -> None:
        """Drop states outside the script's lane once there is one inside."""
        farm = self._farm
        inside = [
            s for s in farm.servable(record) if farm.roster.in_lane(record, s.host)
        ]
        if not inside:
            return
        for state in list(record.states):
            if not farm.roster.in_lane(record, state.host) and (
                record.script not in state.host.loads
            ):
                farm.drop(state)

    # -- time ------------------------------------------------------------------------

    def grow_up(self) -> None:
        """Let states that nobody came for be victims."""
        farm = self._farm
        while farm.young:
            state = next(iter(farm.young))
            if farm.now - state.loaded_at < YOUNG_S:
                return
            del farm.young[state]
            state.served = True
            farm.rank(state)

    def retry(self) -> None:
        """Give room or hosts that turned up to those who wait for them."""
        farm = self._farm
        for record in list(farm.wanting.values()):
            generation = record.next or record.current
            if generation is None or record.loads or record.states:
                del farm.wanting[record.script]
            elif not self.place(record, generation) and farm.roster.pool_size(
                record.pool
            ):
                return  # no room: it is the same for those behind
