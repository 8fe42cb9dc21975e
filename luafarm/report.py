"""`luafarm status` for people: the farm's status as tables for a terminal.

The broker writes the status (`broker/status.py`); what it does not say shows as "-", so
that a command of another version still tells the rest.
"""

import json
import textwrap
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Final, cast

from luafarm import tables

Row = Mapping[str, object]

_WIDTH: Final = 100
_UNKNOWN: Final = "-"


class Parts(Enum):
    """What to show."""

    ALL = 1
    SCRIPTS = 2
    HOSTS = 3


def render(status: bytes, parts: Parts) -> str:
    """Return the tables of a status, JSON."""
    document = cast("Row", json.loads(status))
    if parts is Parts.HOSTS:
        return _hosts(document)
    if parts is Parts.SCRIPTS:
        return _scripts(document)
    sections = [_farm(document), _fronts(document), _hosts(document)]
    return "\n".join([*sections, _scripts(document)])


def _farm(document: Row) -> str:
    lines = [
        f"farm     {'open' if document.get('open') else 'taking over'}, "
        f"{_cell(document, 'states')} of {_cell(document, 'states_limit')} states, "
        f"{_kib(document, 'memory_kib')}, {_cell(document, 'waiting')} waiting, "
        f"{_cell(document, 'quarantines')} quarantined"
    ]
    machines = document.get("machines")
    if isinstance(machines, dict):
        lines.append("machines " + (", ".join(sorted(machines)) or "none"))
    files = document.get("files")
    if isinstance(files, dict):
        polled = files.get("polling") or []
        lines.append(
            f"files    {_cell(files, 'paths')} known, {_cell(files, 'watches')} "
            f"directories watched, {len(cast('list[object]', polled))} polled"
        )
    return "\n".join(lines) + "\n"


def _fronts(document: Row) -> str:
    return tables.render(
        [
            "front",
            "pid",
            "requests",
            "errors",
            "queued",
            "running",
            "connections",
            "heard",
        ],
        [
            [
                _cell(front, "name"),
                _cell(front, "pid"),
                _cell(front, "requests"),
                _cell(front, "errors"),
                _cell(front, "queued"),
                _cell(front, "running"),
                _cell(front, "connections"),
                f"{_number(front, 'silent_s', 1)} s ago",
            ]
            for front in _rows(document, "fronts")
        ],
        _WIDTH,
    )


def _hosts(document: Row) -> str:
    hosts = list(_rows(document, "hosts"))
    table = tables.render(
        ["host", "pool", "lane", "pid", "uid", "states", "requests", "memory", "is"],
        [
            [
                _cell(host, "host"),
                _cell(host, "pool"),
                _cell(host, "lane"),
                _cell(host, "pid"),
                _cell(host, "uid"),
                _cell(host, "states"),
                _cell(host, "requests"),
                _kib(host, "rss_kib"),
                _host_is(host),
            ]
            for host in hosts
        ],
        _WIDTH,
    )
    return table + _sandbox(hosts)


def _host_is(host: Row) -> str:
    if host.get("retiring"):
        return "retiring"
    if not host.get("ready"):
        return "starting"
    running = str(host.get("running") or "")
    return f"running {running.rpartition('/')[2]}" if running else "idle"


def _sandbox(hosts: Iterable[Row]) -> str:
    """Return, for each set of layers, which hosts it confines."""
    groups: dict[tuple[str, str], list[str]] = {}
    for host in hosts:
        key = (_words(host, "layers", " "), _words(host, "missing", "; "))
        groups.setdefault(key, []).append(_cell(host, "host"))
    lines: list[str] = []
    for (layers, missing), names in groups.items():
        who = "all hosts" if len(groups) == 1 else ", ".join(names)
        lines += ["", *_wrapped(f"confined ({who}): {layers or 'by nothing'}")]
        if missing:
            lines += _wrapped(f"not confined by: {missing}")
    return "".join([f"{line}\n" for line in lines])


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def _scripts(document: Row) -> str:
    scripts = list(_rows(document, "scripts"))
    table = tables.render(
        ["script", "is", "states", "heat", "requests", "errors", "service", "memory"],
        [
            [
                _cell(script, "script"),
                _script_is(script),
                str(len(list(cast("list[object]", script.get("states") or [])))),
                _number(script, "heat", 1),
                _cell(script, "requests"),
                _cell(script, "errors"),
                f"{_number(script, 'service_ms', 2)} ms",
                _kib(script, "kib"),
            ]
            for script in scripts
        ],
        _WIDTH,
    )
    errors = [
        f"{_cell(script, 'script')}: {_first_line(script)}"
        for script in scripts
        if script.get("error")
    ]
    return table + ("\n" + "\n".join(errors) + "\n" if errors else "")


def _script_is(script: Row) -> str:
    verdict = _cell(script, "verdict")
    if verdict == "refused":
        return f"refused {_cell(script, 'refused_s')} s"
    return verdict


def _first_line(script: Row) -> str:
    return str(script.get("error")).partition("\n")[0]


def _rows(document: Row, name: str) -> Iterable[Row]:
    rows = document.get(name)
    return (
        [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    )


def _cell(row: Row, name: str) -> str:
    value = row.get(name)
    return _UNKNOWN if value is None else str(value)


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
