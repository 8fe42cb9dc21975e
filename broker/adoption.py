"""What a VM host holds already, against what it should hold.

A broker that starts knows nothing; the hosts know what they hold. States of an earlier
broker are taken over as they are: their files are watched with the contents that the
states saw, so those that are stale show up as changed and are renewed.

A host may have been taken over: what it may say is judged in `broker.suspicion`.
"""

# Compiled.

from typing import Final

from broker.actions import Drop, Fence
from broker.allocation import Allocation
from broker.convergence import Convergence
from broker.events import Inventoried
from broker.farm import Farm
from broker.recycling import Recycling
from broker.suspicion import Suspicion
from broker.tables import Generation, Host, Record, State
from luafarm.names import Epoch, Script
from luafarm.wire.messages import StateRow

MOST_RATE: Final = 10_000.0
"""Requests a second that the states of one host may have served, all together."""

_RATE_AGE_S: Final = 1.0


class Adoption:
    """Brings hosts and tables into agreement."""

    def __init__(
        self,
        farm: Farm,
        allocation: Allocation,
        convergence: Convergence,
        recycling: Recycling,
        suspicion: Suspicion,
    ) -> None:
        self._farm = farm
        self._step = farm.step
        self._allocation = allocation
        self._convergence = convergence
        self._recycling = recycling
        self._suspicion = suspicion
        #: when a host told last what it holds
        self.news_at = farm.step.now

    def inventoried(self, event: Inventoried) -> None:
        """Compare what a host holds with what it should hold."""
        farm = self._farm
        host = farm.roster.hosts.get(event.host)
        if host is None:
            return
        self.news_at = self._step.now
        host.is_reached = True
        told = {row.script: row.epoch for row in event.states}
        if not self._suspicion.admits(host, event.states):
            return
        for row in event.states:
            farm.epochs.seen(row.epoch)
        was_known = host.is_known
        if not was_known:
            farm.roster.know(host)
        self._repeat(host, told)
        self._forget_untold(host, told, event.asked_at)
        adopted: list[Record] = []
        uses = sum([_rate(row) for row in event.states])
        share = min(1.0, MOST_RATE / uses) if uses > 0.0 else 0.0
        for row in event.states:
            if row.script in host.states or row.script in host.loads:
                continue
            if row.epoch <= host.draining.get(row.script, 0):
                continue
            if was_known:  # nothing but orders has made any since it was asked first
                if not self._suspicion.allows_unordered(host, "a state"):
                    return
                farm.close(host, row.script, row.epoch)
                continue
            record = self._adopt(host, row, share)
            if record is not None:
                adopted.append(record)
        for record in adopted:
            farm.bulletin.publish(record)
            self._convergence.tend(record)

    def _repeat(self, host: Host, told: dict[Script, Epoch]) -> None:
        """Give the orders again that the host may not have got."""
        for script, epoch in list(host.draining.items()):
            if told.get(script, epoch + 1) <= epoch:
                self._step.out.append(Drop(host.id, script, epoch))
            else:
                self._farm.closings.confirm(host, script, epoch)
        for script, epoch in self._farm.fences.of(host.id):
            self._step.out.append(Fence(host.id, script, epoch))

    def _forget_untold(
        self, host: Host, told: dict[Script, Epoch], asked_at: float
    ) -> None:
        """Forget what a host was ordered or known to have, and has not."""
        touched: list[Record] = []
        sent = [loading for loading in host.loads.values() if loading.sent]
        for loading in sent:
            if (
                loading.since <= asked_at
                and told.get(loading.record.script) != loading.epoch
            ):
                self._farm.end(loading)
                touched.append(loading.record)
        for script, state in list(host.states.items()):
            if state.loaded_at <= asked_at and told.get(script) != state.epoch:
                self._farm.lose(state)
                touched.append(state.record)
        for record in touched:
            self._farm.bulletin.publish(record)
            self._convergence.tend(record)

    def _adopt(self, host: Host, row: StateRow, share: float) -> Record | None:
        """Take over a state that the host holds, of whatever age it is.

        share: of the uses that it claims, those that are believed.
        """
        farm = self._farm
        known = farm.records.get(row.script)
        if not self._is_welcome(host, row, known):
            self._step.count("unwanted_states")
            farm.close(host, row.script, row.epoch)
            return None
        record = farm.record(host.pool, row.script)
        generation = Generation(row.epoch, row.digest)
        farm.footprint.depend(record, generation, row.dependencies)
        current = record.current
        if current is None:
            record.current = generation
        elif _is_same(current, generation):
            # the same content, whatever it was called: requests may go to either
            farm.footprint.depend(record, current, row.dependencies)
            current.epoch = min(current.epoch, generation.epoch)
            generation = current
        elif generation.epoch > current.epoch and not farm.bulletin.is_open:
            record.current = generation
        farm.following.rewatch(record)
        limits = record.policy.limits
        kib = min(max(row.kib, 0), limits.memory_bytes >> 10)
        state = farm.adopt(record, host, generation, row.epoch, kib)
        self._recycling.born(state)
        state.requests = max(row.requests, 0)
        record.load_s = min(max(row.load_us / 1e6, 0.0), limits.load_wall_ms / 1e3)
        self._warm(state, row, share)
        farm.served(state)
        self._step.count("adopted_states")
        return record

    def _is_welcome(self, host: Host, row: StateRow, known: Record | None) -> bool:
        farm = self._farm
        if not self._suspicion.is_of(host.pool, row.script) or farm.is_pool_full(
            host.pool
        ):
            return False
        if known is not None:
            hosts = len({s.host.id for s in known.states} | set(known.loads))
            if known.pool != host.pool or hosts >= known.policy.clones:
                return False
        return farm.taken < farm.limit or self._allocation.make_share(host.pool)

    def _warm(self, state: State, row: StateRow, share: float) -> None:
        """Guess the heat of a state from its age and uses, as if they came evenly."""
        farm = self._farm
        lasting_s = min(
            _age_s(row), farm.fading.half_life_s * 1.44
        )  # 1 / ln 2: the whole of the decay
        uses = _rate(row) * share * lasting_s
        state.heat.add(uses, farm.lived())
        state.record.heat.add(uses, farm.lived())


def _age_s(row: StateRow) -> float:
    return max(row.age_ms / 1000.0, _RATE_AGE_S)


def _rate(row: StateRow) -> float:
    """Return how many requests a second a state says that it served."""
    return max(row.requests, 0) / _age_s(row)


def _is_same(one: Generation, other: Generation) -> bool:
    """Say whether two generations have the same content, as far as both are known."""
    return one.digest == other.digest and all(
        one.dependencies.get(name, dependency) == dependency
        for name, dependency in other.dependencies.items()
    )
