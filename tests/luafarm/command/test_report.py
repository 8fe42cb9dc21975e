"""The status as tables."""

import json

from luafarm.command import report
from luafarm.command.report import Parts

STATUS = {
    "open": True,
    "states": 2,
    "states_limit": 1000,
    "memory_kib": 252,
    "waiting": 0,
    "quarantines": 3,
    "quarantined": [
        {
            "script": "/srv/bad\x1b[2J.lua",
            "until": "2026-11-23 09:12:02",
            "left_s": 98.4,
            "why": "host=h died of it: wall",
            "times": 2,
        }
    ],
    "restrained": [
        {
            "script": "/srv/form.lua",
            "until": "2026-11-23 09:10:54",
            "left_s": 30.0,
            "why": "budget=cpu exceeded",
        }
    ],
    "machines": {"web2": 0.1, "web1": 0.2},
    "files": {
        "paths": 3,
        "watches": 2,
        "unfinished": 4,
        "polling": [{"directory": "/mnt/www", "reason": "nfs"}],
    },
    "fronts": [
        {"name": "front-1", "silent_s": 0.34, "requests": 7, "errors": 0, "queued": 0},
    ],
    "hosts": [
        {
            "host": "web1-main-1-aa",
            "machine": "web1",
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
            "machine": "web2",
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
            "generation": 42,
            "requests": 7,
            "errors": 1,
            "stops": {"cpu": 3, "memory": 1},
            "kills": 2,
            "unfollowed": 12,
            "last_stop": "cpu: line 5: CPU time of 0.1 s used up, after 0.103 s",
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
    assert max(len(x) for x in text.splitlines() if "long/" not in x) <= 80
    assert (
        "open, 2 of 1000 states, 252 KiB, 0 waiting, 1 quarantined, 1 restrained\n"
        in text
    )
    assert "machines web1, web2\n" in text
    assert "3 known, 2 directories watched, 1 polled\n" in text


def test_hosts_say_what_they_do_and_what_confines_them() -> None:
    text = rendered(Parts.HOSTS)
    rows = text.splitlines()
    assert rows[1].split()[:4] == ["web1-main-1-aa", "11", "61184", "2"]
    assert rows[1].split()[4:7] == ["7", "20", "MiB"]
    assert rows[1].endswith("running slow.lua")
    assert rows[2].split() == ["web2-main-1-bb", *"-----", "starting"]
    assert "confined (web1-main-1-aa): uid seccomp\n" in text
    assert "confined (web2-main-1-bb): uid\n" in text
    assert "not confined by: seccomp: not allowed here\n" in text
    assert "/srv" not in text


def test_hosts_of_one_machine_and_pools_of_like_hosts_are_named_shortly() -> None:
    hosts = [
        {"host": "m-a-1-00", "machine": "m", "pool": "a", "layers": ["uid"]},
        {"host": "m-a-2-00", "machine": "m", "pool": "a", "layers": ["uid"]},
        {"host": "m-b-1-00", "machine": "m", "pool": "b", "lane": "slow"},
    ]
    text = report.render(json.dumps({"hosts": hosts}).encode(), Parts.HOSTS)
    assert [row.split()[0] for row in text.splitlines()[1:4]] == [
        "a-1-00",
        "a-2-00",
        "b-1-00",
    ]
    assert "confined (pool a): uid\n" in text
    assert "confined (pool b): by nothing\n" in text


def test_scripts_show_their_errors_and_stops_below() -> None:
    text = rendered(Parts.SCRIPTS)
    rows = text.splitlines()
    assert rows[0] == "scripts in /srv/"
    assert " ".join(rows[2].split()) == "a/slow.lua ready 1.2 1 42 7 1 12.35 126"
    assert rows[3].split()[1] == "refused"
    joined = " ".join(text.split())
    assert "bad.lua: first" in joined
    assert "second" not in text
    told = "/srv/a/slow.lua: stopped by cpu 3, memory 1, the end of VM hosts 2; last "
    unfollowed = "12 of its files are not followed"
    after = "their changes count after `luafarm reload`"
    assert f"/srv/a/slow.lua: {unfollowed}; {after}" in joined
    assert f"{told}cpu: line 5: CPU time of 0.1 s used up, after 0.103 s" in joined


def test_evictions_are_told_with_their_reason_and_when() -> None:
    rows = [
        {"script": f"/srv/{n}.lua", "ago_s": 3.4, "why": "room for /srv/b.lua: heat 0"}
        for n in range(7)
    ]
    text = report.render(
        json.dumps({**STATUS, "evictions": rows}).encode(), Parts.SCRIPTS
    )
    assert "evicted 3 s ago: 0.lua: room for b.lua: heat 0\n" in text
    assert "4.lua" in text
    assert "5.lua" not in text
    assert text.endswith("further evictions: --json\n")


def test_directories_that_are_polled_are_named_with_the_reason() -> None:
    assert "polled   /mnt/www: nfs\n" in rendered(Parts.ALL)


def test_files_that_wait_for_their_writers_are_told() -> None:
    text = rendered(Parts.ALL)
    assert "open     4 changed files wait for whoever is writing them\n" in text


def test_who_is_quarantined_is_told_with_the_reason_and_the_end() -> None:
    text = " ".join(rendered(Parts.SCRIPTS).split())
    until = "refused until 2026-11-23 09:12:02 (98 s), quarantine 2"
    assert f"/srv/bad\\x1b[2J.lua: {until}: host=h died of it: wall" in text


def test_who_is_restrained_is_told_with_the_reason_and_the_end() -> None:
    text = " ".join(rendered(Parts.SCRIPTS).split())
    until = "few VM hosts until 2026-11-23 09:10:54 (30 s)"
    assert f"/srv/form.lua: {until}: budget=cpu exceeded" in text


def test_a_status_of_another_version_still_shows() -> None:
    assert "of - states" in report.render(b"{}", Parts.ALL)


def told(**more: object) -> str:
    return report.render(json.dumps(more).encode(), Parts.ALL)


def test_the_version_that_runs_is_told() -> None:
    supervisors = [{"machine": "m", "version": "1.2.3", "silent_s": 0.1}]
    fronts = [{"name": "m-front-0", "version": "1.2.3"}]
    text = told(version="1.2.3", supervisors=supervisors, fronts=fronts)
    assert "luafarm  1.2.3\n" in text


def test_roles_of_another_version_are_named() -> None:
    supervisors = [
        {"machine": "m", "version": "1.2.3", "silent_s": 0.1},
        {"machine": "n", "version": "1.2.4", "silent_s": 0.1},
    ]
    fronts = [{"name": "m-front-0", "version": ""}]
    text = told(version="1.2.4", supervisors=supervisors, fronts=fronts)
    assert "luafarm  1.2.4: broker, VM hosts of n\n" in text
    assert "luafarm  1.2.3: VM hosts of m\n" in text
    assert "luafarm  of a version that is not told: m-front-0\n" in text


def test_a_supervisor_that_is_silent_is_told_with_its_machine() -> None:
    supervisors = [
        {"machine": "m", "silent_s": 0.9},
        {"machine": "n", "silent_s": 2.64},
    ]
    text = told(machines={"m": 0.9, "n": 2.64}, supervisors=supervisors)
    assert "machines m, n (its supervisor was heard 2.6 s ago)\n" in text


def test_an_idle_vm_host_that_is_silent_says_since_when() -> None:
    hosts = [
        {"host": "m-a-1-00", "machine": "m", "ready": True, "silent_s": 0.6},
        {
            "host": "m-a-2-00",
            "machine": "m",
            "ready": True,
            "lane": "kept",
            "silent_s": 3.5,
        },
    ]
    lines = told(hosts=hosts).splitlines()
    assert any(line.endswith("idle") for line in lines)
    assert any(line.endswith("idle (kept), heard 3.5 s ago") for line in lines)


def test_hosts_keep_pool_and_number_where_there_is_little_room() -> None:
    host = {
        "host": "web1-main-1-db8e59a7",
        "machine": "web1",
        "pid": 4_000_000,
        "uid": 61184,
        "states": 120,
        "requests": 123_456_789,
        "rss_kib": 204_800,
        "ready": True,
        "running": "/srv/a-rather-long-name.lua",
    }
    document = json.dumps({"hosts": [host]}).encode()
    [_, row, *_] = report.render(document, Parts.HOSTS, 80).splitlines()
    assert row.startswith("main-1  ")
    [_, row, *_] = report.render(document, Parts.HOSTS, 120).splitlines()
    assert row.startswith("main-1-db8e59a7  ")


def test_the_refused_of_an_overload_are_no_errors() -> None:
    fronts = [{"name": "f", "requests": 90, "errors": 1, "overloaded": 23}]
    titles, row = [
        line.split()
        for line in told(fronts=fronts).splitlines()
        if line.startswith("f") and not line.startswith("farm")
    ]
    assert dict(zip(titles, row, strict=False))["overloaded"] == "23"
    assert dict(zip(titles, row, strict=False))["errors"] == "1"


def test_a_front_that_finishes_is_marked() -> None:
    fronts = [{"name": "old", "silent_s": 0.1, "retiring": 1}, {"name": "new"}]
    text = report.render(json.dumps({"fronts": fronts}).encode(), Parts.ALL, 80)
    [old] = [line for line in text.splitlines() if line.startswith("old")]
    [new] = [line for line in text.splitlines() if line.startswith("new")]
    assert old.endswith("0.1 s ago, retiring")
    assert "retiring" not in new
