"""`luafarm status` for people: the farm's status as tables for a terminal.

The broker writes the status (`broker/status.py`); what it does not say shows as "-", so
that a command of another version still tells the rest.
"""

import json
import posixpath
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Final, cast

from luafarm.command import tables
from luafarm.wire.loglines import printable

Row = Mapping[str, object]

_UNKNOWN: Final = "-"
_EVICTIONS: Final = 5  # that people are shown
_POLLED: Final = 5
_QUIET_S: Final = 2.0
"""Supervisors and idle VM hosts are heard each second."""

_UNTOLD: Final = "of a version that is not told"
_LANES: Final = {"slow": " (slow lane)", "kept": " (kept)"}


class Parts(Enum):
    """What to show."""

    ALL = 1
    SCRIPTS = 2
    HOSTS = 3


def render(status: bytes, parts: Parts, width: int = 80) -> str:
    """Return the tables of a status, JSON; width: of the terminal, in columns."""
    document = cast("Row", json.loads(status))
    if parts is Parts.HOSTS:
        return _hosts(document, width)
    if parts is Parts.SCRIPTS:
        return _scripts(document, width)
    sections = [_farm(document), _fronts(document, width), _hosts(document, width)]
    return "\n".join([*sections, _scripts(document, width)])


def _farm(document: Row) -> str:
    lines = [
        f"farm     {'open' if document.get('open') else 'taking over'}, "
        f"{_cell(document, 'states')} of {_cell(document, 'states_limit')} states, "
        f"{_kib(document, 'memory_kib')}, {_cell(document, 'waiting')} waiting, "
        f"{len(_rows(document, 'quarantined'))} quarantined, "
        f"{len(_rows(document, 'restrained'))} restrained"
    ]
    lines += _versions(document)
    machines = document.get("machines")
    if isinstance(machines, dict):
        found = [f"{name}{_silence(document, name)}" for name in sorted(machines)]
        lines.append("machines " + (", ".join(found) or "none"))
    files = document.get("files")
    if isinstance(files, dict):
        polled = _rows(cast("Row", files), "polling")
        lines.append(
            f"files    {_cell(files, 'paths')} known, {_cell(files, 'watches')} "
            f"directories watched, {len(polled)} polled"
        )
        if files.get("unfinished"):
            open_files = f"{_cell(files, 'unfinished')} changed files"
            lines.append(f"open     {open_files} wait for whoever is writing them")
        lines += [
            f"polled   {_cell(one, 'directory')}: {_cell(one, 'reason')}"
            for one in polled[:_POLLED]
        ]
    return "\n".join(lines) + "\n"


def _versions(document: Row) -> list[str]:
    """Return which luafarm runs here, and where there are several, which where."""
    if "version" not in document:
        return []
    roles: dict[str, list[str]] = {}

    def note(row: Row, role: str) -> None:
        version = _cell(row, "version")
        whose = roles.setdefault(_UNTOLD if version in {"", _UNKNOWN} else version, [])
        if role not in whose:
            whose.append(role)

    note(document, "broker")
    for one in _rows(document, "supervisors"):
        note(one, f"VM hosts of {_cell(one, 'machine')}")
    for front in _rows(document, "fronts"):
        note(front, _cell(front, "name"))
    if len(roles) == 1:
        return [f"luafarm  {version}" for version in roles]
    return [f"luafarm  {version}: {', '.join(roles[version])}" for version in roles]


def _silence(document: Row, machine: str) -> str:
    """Return since when a supervisor of a machine has not been heard, if it is long."""
    silences = [
        _quiet_s(one)
        for one in _rows(document, "supervisors")
        if one.get("machine") == machine
    ]
    longest = max(silences, default=0.0)
    return f" (its supervisor was heard {longest:.1f} s ago)" if longest else ""


def _quiet_s(row: Row) -> float:
    """Return for how long somebody has been silent; 0: not long, or it is not told."""
    silent_s = row.get("silent_s")
    is_long = isinstance(silent_s, int | float) and silent_s > _QUIET_S
    return float(cast("float", silent_s)) if is_long else 0.0


def _fronts(document: Row, width: int) -> str:
    titles = ["front", "pid", "requests", "errors", "overloaded", "queued", "running"]
    return tables.render(
        [*titles, "open", "heard"],
        [
            [
                _cell(front, "name"),
                *[_cell(front, title) for title in titles[1:]],
                _cell(front, "connections"),
                f"{_number(front, 'silent_s', 1)} s ago{_retires(front)}",
            ]
            for front in _rows(document, "fronts")
        ],
        width,
    )


def _retires(front: Row) -> str:
    return ", retiring" if front.get("retiring") else ""


# ---- VM hosts ------------------------------------------------------------------------


def _hosts(document: Row, width: int) -> str:
    hosts = _rows(document, "hosts")
    machines = {_cell(host, "machine") for host in hosts}
    table = tables.render(
        ["host", "pid", "uid", "states", "requests", "memory", "is"],
        [
            [
                _name(host) if len(machines) == 1 else _cell(host, "host"),
                _cell(host, "pid"),
                _cell(host, "uid"),
                _cell(host, "states"),
                _cell(host, "requests"),
                _kib(host, "rss_kib"),
                _host_is(host),
            ]
            for host in hosts
        ],
        width,
        [_seat(host, is_alone=len(machines) == 1) for host in hosts],
    )
    return table + _sandbox(hosts, width)


def _name(host: Row) -> str:
    """Return a host's id without its machine."""
    return _cell(host, "host").removeprefix(f"{_cell(host, 'machine')}-")


def _seat(host: Row, *, is_alone: bool) -> str:
    """Return a host's id without its random end, and alone without its machine."""
    name = _name(host) if is_alone else _cell(host, "host")
    return name.rpartition("-")[0] or name


def _host_is(host: Row) -> str:
    if host.get("retiring"):
        return "retiring"
    if not host.get("ready"):
        return "starting"
    lane = _LANES.get(str(host.get("lane")), "")
    running = _plain(str(host.get("running") or ""))
    if running:
        return f"running {running.rpartition('/')[2]}{lane}"
    quiet_s = _quiet_s(host)
    return f"idle{lane}" + (f", heard {quiet_s:.1f} s ago" if quiet_s else "")


def _sandbox(hosts: Sequence[Row], width: int) -> str:
    """Return, for each set of layers, whom it confines."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for host in hosts:
        key = (_words(host, "layers", " "), _words(host, "missing", "; "))
        groups.setdefault(key, []).append(host)
    lines: list[str] = []
    for (layers, missing), confined in groups.items():
        who = "all hosts" if len(groups) == 1 else _who(confined, hosts)
        lines += ["", *_wrapped(f"confined ({who}): {layers or 'by nothing'}", width)]
        if missing:
            lines += _wrapped(f"not confined by: {missing}", width)
    return "".join([f"{line}\n" for line in lines])


def _who(some: Sequence[Row], hosts: Sequence[Row]) -> str:
    """Return the names of some hosts, or of the pools that they are all hosts of."""
    names = {_cell(host, "host") for host in some}
    pools = {_cell(host, "pool"): None for host in some}
    everybody = {_cell(h, "host") for h in hosts if _cell(h, "pool") in pools}
    return ", ".join([f"pool {p}" for p in pools] if names == everybody else names)


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(
        text,
        max(width, 40),
        subsequent_indent="  ",
        break_long_words=False,  # paths
        break_on_hyphens=False,
    )


# ---- scripts -------------------------------------------------------------------------


def _scripts(document: Row, width: int) -> str:
    scripts = _rows(document, "scripts")
    below = _common([_cell(script, "script") for script in scripts])
    table = tables.render(
        ["script", "is", "heat", "states", "gen", "requests", "errors", "ms", "KiB"],
        [
            [
                _cell(script, "script").removeprefix(below),
                _cell(script, "verdict"),
                _number(script, "heat", 1),
                str(len(list(cast("list[object]", script.get("states") or [])))),
                _cell(script, "generation"),
                _cell(script, "requests"),
                _cell(script, "errors"),
                _number(script, "service_ms", 2),
                _number(script, "kib", 0),
            ]
            for script in scripts
        ],
        width,
    )
    where = [f"scripts in {below}"] if below else []
    lines = [*where, table.rstrip("\n")]
    for script in scripts:
        lines += [line for text in _troubles(script) for line in _wrapped(text, width)]
    for one in _rows(document, "quarantined"):
        lines += _wrapped(_quarantined(one), width)
    for one in _rows(document, "restrained"):
        lines += _wrapped(_restrained(one), width)
    evictions = _rows(document, "evictions")
    for one in evictions[:_EVICTIONS]:
        lines += _wrapped(_evicted(one, below), width)
    if len(evictions) > _EVICTIONS:
        lines.append("further evictions: --json")
    return "\n".join(lines) + "\n"


def _common(paths: Sequence[str]) -> str:
    """Return the directory, with its slash, that two or more paths share; or ""."""
    if len(paths) < 2 or not all(path.startswith("/") for path in paths):
        return ""
    return posixpath.commonpath([posixpath.dirname(p) for p in paths]).rstrip("/") + "/"


def _troubles(script: Row) -> Iterable[str]:
    """Return what an operator should know of a script, a sentence each."""
    name = _cell(script, "script")
    if script.get("error"):
        first, _, _ = str(script.get("error")).partition("\n")
        yield f"{name}: {_plain(first)}"
    if script.get("unfollowed"):
        files = f"{_cell(script, 'unfollowed')} of its files are not followed"
        yield f"{name}: {files}; their changes count after `luafarm reload`"
    stops = _stops(script)
    kills = script.get("kills")
    told = [f"{_plain(budget)} {times}" for budget, times in stops.items()]
    if kills:
        told.append(f"the end of VM hosts {kills}")
    if told:
        last = _cell(script, "last_stop")
        yield f"{name}: stopped by {', '.join(told)}; last {last}"


def _quarantined(one: Row) -> str:
    return (
        f"{_cell(one, 'script')}: refused until {_cell(one, 'until')} "
        f"({_number(one, 'left_s', 0)} s), quarantine {_cell(one, 'times')}: "
        f"{_cell(one, 'why')}"
    )


def _restrained(one: Row) -> str:
    return (
        f"{_cell(one, 'script')}: few VM hosts until {_cell(one, 'until')} "
        f"({_number(one, 'left_s', 0)} s): {_cell(one, 'why')}"
    )


def _evicted(one: Row, below: str) -> str:
    name = _cell(one, "script").removeprefix(below)
    why = _cell(one, "why").replace(f"room for {below}", "room for ")
    return f"evicted {_number(one, 'ago_s', 0)} s ago: {name}: {why}"


def _stops(script: Row) -> dict[str, int]:
    stops = script.get("stops")
    return cast("dict[str, int]", stops) if isinstance(stops, dict) else {}


def _rows(document: Row, name: str) -> list[Row]:
    rows = document.get(name)
    return (
        [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    )


def _cell(row: Row, name: str) -> str:
    value = row.get(name)
    return _UNKNOWN if value is None else _plain(str(value))


def _plain(text: str) -> str:
    """Return text of scripts, or their names, as harmless for a terminal."""
    return printable(text).replace("\n", "\\n").replace("\t", "")


def _number(row: Row, name: str, digits: int) -> str:
    value = row.get(name)
    return f"{value:.{digits}f}" if isinstance(value, int | float) else _UNKNOWN


def _kib(row: Row, name: str) -> str:
    value = row.get(name)
    if not isinstance(value, int | float):
        return _UNKNOWN
    return f"{value:.0f} KiB" if value < 10_000 else f"{value / 1024:.0f} MiB"


def _words(row: Row, name: str, separator: str) -> str:
    words = row.get(name)
    if not isinstance(words, list):
        return ""
    return separator.join([str(word) for word in words])
