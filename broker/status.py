"""The farm's status as JSON: what an operator or a test wants to know."""

# Impure.

import json
import time

from broker.machine import Broker
from broker.resolve import shown
from broker.tables import KEPT, QUICK, SLOW, Generation, Host, Record
from luafarm.names import TERM_SHIFT
from luafarm.version import VERSION
from luafarm.wire.messages import Hello

_MOST_SCRIPTS = 10_000
_MOST_EVICTIONS = 50
_LANES = {QUICK: "quick", SLOW: "slow", KEPT: "kept"}


def status(
    broker: Broker, hellos: dict[bytes, Hello], files: dict[str, object], now: float
) -> bytes:
    """Return the status. hellos: of who calls; files: what the watcher tells."""
    farm = broker.farm
    records = sorted(
        (
            r
            for r in farm.records.values()
            if r.script not in farm.remembered or r.stops or r.kills
        ),
        key=lambda r: -r.heat.now(farm.fading.at(now)),
    )
    document: dict[str, object] = {
        "version": VERSION,
        "term": farm.epochs.term,
        "open": farm.bulletin.is_open,
        "states": farm.taken,
        "states_limit": farm.limit,
        "draining": len(farm.closings),
        "memory_kib": farm.kib,
        "waiting": farm.bulletin.owed,
        "wanting": broker.allocation.wanting(),
        "missing": len(farm.missing),
        "remembered": len(farm.remembered),
        "counts": dict(sorted(farm.step.counts.items())),
        "quarantines": farm.quarantine.count,
        "quarantined": [
            {
                "script": shown(script),
                "left_s": round(left_s, 1),
                "until": _clock(left_s),
                "why": why,
                "times": times,
            }
            for script, left_s, why, times in farm.quarantine.refused(now)
        ],
        "restraints": farm.restraint.count,
        "restrained": [
            {
                "script": shown(script),
                "left_s": round(left_s, 1),
                "until": _clock(left_s),
                "why": why,
            }
            for script, left_s, why in farm.restraint.current(now)
        ],
        "evictions": [
            {"script": shown(script), "ago_s": round(now - at, 1), "why": why}
            for script, at, why in farm.evictions.recent(_MOST_EVICTIONS)
        ],
        "files": files,
        "machines": _machines(broker, now),
        "supervisors": _supervisors(broker, hellos, now),
        "fronts": [
            {
                "name": hellos[peer].name if peer in hellos else "",
                "version": hellos[peer].version if peer in hellos else "",
                "silent_s": round(now - front.heard_at, 3),
                **front.gauges,
            }
            for peer, front in broker.fronts.items()
        ],
        "hosts": [_host(host, now) for host in farm.roster.hosts.values()],
        "scripts": [_script(broker, r, now) for r in records[:_MOST_SCRIPTS]],
    }
    return json.dumps(document).encode()


def _machines(broker: Broker, now: float) -> dict[str, float]:
    """Return for how long each machine has been silent."""
    found: dict[str, float] = {}
    for (machine, _), at in broker.census.supervisors.items():
        silent_s = round(now - at, 3)
        found[machine] = min(silent_s, found.get(machine, silent_s))
    return found


def _supervisors(
    broker: Broker, hellos: dict[bytes, Hello], now: float
) -> list[dict[str, object]]:
    """Return the supervisors; while they are replaced a machine has several."""
    versions = {(one.machine, one.incarnation): one.version for one in hellos.values()}
    return [
        {
            "machine": keeper[0],
            "version": versions.get(keeper, ""),
            "silent_s": round(now - at, 3),
        }
        for keeper, at in broker.census.supervisors.items()
    ]


def _clock(left_s: float) -> str:
    """Return what the local time will be when these seconds have passed."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() + left_s))


def _host(host: Host, now: float) -> dict[str, object]:
    return {
        "host": host.id,
        "pool": host.pool,
        "machine": host.up.machine,
        "pid": host.up.pid,
        "uid": host.up.uid,
        "lane": _LANES[host.lane],
        "ready": host.is_known,
        "retiring": host.is_retiring,
        "states": len(host.states),
        "loading": len(host.loads),
        "requests": host.requests,
        "rss_kib": host.rss_kib,
        "running": shown(host.running),
        "silent_s": host.silent_s,
        "age_s": round(now - host.joined_at, 1),
        "layers": list(host.up.layers),
        "missing": list(host.up.missing),
    }


def _script(broker: Broker, record: Record, now: float) -> dict[str, object]:
    farm = broker.farm
    refused_s = farm.quarantine.remaining_s(record.script, now)
    failure = record.failure
    evicted = farm.evictions.of(record.script)
    if refused_s:
        verdict = "refused"
    elif record.current is not None:
        verdict = "ready" if failure is None else "last good"
    else:
        verdict = "broken" if failure is not None else "loading"
    if record.script in farm.remembered:
        verdict = "cold"
    return {
        "script": shown(record.script),
        "pool": record.pool,
        "verdict": verdict,
        "refused_s": round(refused_s, 1),
        "restrained_s": round(farm.restraint.left_s(record.script, now), 1),
        "error": failure.error.message if failure is not None else "",
        "generation": _number(record.current),
        "epoch": record.current.epoch if record.current is not None else 0,
        "heat": round(record.heat.now(farm.fading.at(now)), 3),
        "requests": record.requests,
        "errors": record.errors,
        "stops": dict(sorted(record.stops.items())),
        "kills": record.kills,
        "last_stop": record.last_stop,
        "service_ms": round(record.service_s * 1000, 3),
        "load_ms": round(record.load_s * 1000, 3),
        "kib": record.kib,
        "lane": _LANES[record.lane],
        "files": len(record.watched),
        "unfollowed": sum([g.unfollowed for g in record.generations()]),
        "states": [s.host.id for s in record.states],
        "loading": list(record.loads),
        "waiting": len(record.askers),
        "evicted": evicted[1] if evicted is not None else "",
        "evicted_s": round(now - evicted[0], 1) if evicted is not None else None,
    }


def _number(generation: Generation | None) -> int:
    """Return the number of a generation among those of its broker; 0: there is none."""
    return generation.epoch & ((1 << TERM_SHIFT) - 1) if generation is not None else 0
