"""What always holds between the broker's tables, for tests."""

from broker.farm import Farm
from broker.tables import Host, Record
from luafarm.names import Script


def check(farm: Farm) -> None:
    """Raise AssertionError if the tables disagree with each other."""
    farm.victims.check()
    farm.roster.check()
    farm.bulletin.check()
    taken = dict.fromkeys(farm.taken_by, 0)
    kib = 0
    for host in farm.roster.hosts.values():
        _check_host(farm, host)
        taken[host.pool] += len(host.states.keys() | host.loads.keys())
        kib += host.kib
    assert (taken, kib) == (farm.taken_by, farm.kib)
    farm.closings.check(farm.roster.hosts.values())
    assert farm.taken <= farm.limit, (farm.taken, farm.limit)
    for pool, pool_taken in farm.taken_by.items():
        limit = farm.settings.pool[pool].states or farm.limit
        assert pool_taken <= limit, (pool, pool_taken, limit)
    for script, record in farm.records.items():
        _check_record(farm, script, record)
    farm.files.check(farm.records)
    farm.missing.check()
    assert len(farm.remembered) <= max(1000, 4 * farm.limit)


def _check_host(farm: Farm, host: Host) -> None:
    assert host.kib == sum(state.kib for state in host.states.values()), host.id
    assert host.background is None or host.background.sent, host.id
    assert host.background is not None or not host.backlog, host.id
    for script, state in host.states.items():
        assert state in farm.records[script].states, (host.id, script)
    for script, loading in host.loads.items():
        assert farm.records[script].loads[host.id] is loading, (host.id, script)


def _check_record(farm: Farm, script: Script, record: Record) -> None:
    staying = {s.host.id for s in record.states if not s.host.is_retiring}
    assert len(staying | set(record.loads)) <= record.policy.clones, script
    assert (record.failure is not None) == (script in farm.failed), script
    farm.footprint.check(record)
    for state in record.states:
        assert state.host.states[script] is state, script
        may_go = state.served and script not in state.host.loads
        assert (state.position >= 0) == may_go, (script, state.host.id)
    if record.states or record.askers:
        assert record.watched, script
    if record.states:
        assert record.current is not None or record.next is not None, script
    if script in farm.remembered:
        assert farm.is_unused(record), script
        assert not record.watched, script
    elif not record.loads:
        assert not farm.is_unused(record), f"{script!r} is kept for nothing"
