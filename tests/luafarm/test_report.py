"""The status as tables."""

import json

from luafarm import report
from luafarm.report import Parts

STATUS = {
    "open": True,
    "states": 2,
    "states_limit": 1000,
    "memory_kib": 252,
    "waiting": 0,
    "quarantines": 1,
    "machines": {"web2": 0.1, "web1": 0.2},
    "files": {"paths": 3, "watches": 2, "polling": ["/nfs"]},
    "fronts": [
        {"name": "front-1", "silent_s": 0.34, "requests": 7, "errors": 0, "queued": 0},
    ],
    "hosts": [
        {
            "host": "web1-main-1-aa",
            "pool": "main",
            "lane": "quick",
            "pid": 11,
            "uid": 61184,
            "states": 2,
            "requests": 7,
            "rss_kib": 20480,
            "ready": True,
            "running": "/srv/a/slow.lua",
            "layers": ["uid", "seccomp"],
            "missing": [],
        },
        {
            "host": "web2-main-1-bb",
            "pool": "main",
            "ready": False,
            "layers": ["uid"],
            "missing": ["seccomp: not allowed here"],
        },
    ],
    "scripts": [
        {
            "script": "/srv/a/slow.lua",
            "verdict": "ready",
            "states": ["web1-main-1-aa"],
            "heat": 1.25,
            "requests": 7,
            "errors": 1,
            "service_ms": 12.345,
            "kib": 126,
        },
        {
            "script": "/srv/" + "long/" * 30 + "bad.lua",
            "verdict": "refused",
            "refused_s": 30.0,
            "error": "first\nsecond",
            "states": [],
        },
    ],
}


def rendered(parts: Parts) -> str:
    return report.render(json.dumps(STATUS).encode(), parts)


def test_the_whole_status_fits_a_terminal() -> None:
    text = rendered(Parts.ALL)
    assert max(len(line) for line in text.splitlines() if "first" not in line) <= 100
    assert "open, 2 of 1000 states, 252 KiB, 0 waiting, 1 quarantined\n" in text
    assert "machines web1, web2\n" in text
    assert "3 known, 2 directories watched, 1 polled\n" in text


def test_hosts_say_what_they_do_and_what_confines_them() -> None:
    text = rendered(Parts.HOSTS)
    rows = text.splitlines()
    assert rows[1].split()[:4] == ["web1-main-1-aa", "main", "quick", "11"]
    assert rows[1].split()[4:9] == ["61184", "2", "7", "20", "MiB"]
    assert rows[1].endswith("running slow.lua")
    assert rows[2].split() == ["web2-main-1-bb", "main", *"------", "starting"]
    assert "confined (web1-main-1-aa): uid seccomp\n" in text
    assert "confined (web2-main-1-bb): uid\n" in text
    assert "not confined by: seccomp: not allowed here\n" in text
    assert "/srv" not in text


def test_scripts_show_their_errors_below() -> None:
    text = rendered(Parts.SCRIPTS)
    rows = text.splitlines()
    assert rows[1].split()[:4] == ["/srv/a/slow.lua", "ready", "1", "1.2"]
    assert rows[1].split()[4:] == ["7", "1", "12.35", "ms", "126", "KiB"]
    assert "refused 30.0 s" in rows[2]
    assert rows[-1].endswith("bad.lua: first")
    assert "second" not in text


def test_a_status_of_another_version_still_shows() -> None:
    assert "of - states" in report.render(b"{}", Parts.ALL)
