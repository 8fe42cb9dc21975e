"""The broker's loop with real sockets and files; its peers are played by the test."""

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from bench.simulate.traces import Recorded
from broker.library.sources import digest_of
from broker.library.tree import MOST_UNFINISHED
from broker.peers.hearing import MAX_FRAME
from broker.peers.peer import NEEDS
from luafarm.config.settings import Broker, PoolSettings
from luafarm.ends import Budget, Closing, Death
from luafarm.names import Epoch, Machine, RequestId, Script
from luafarm.version import VERSION
from luafarm.wire import loglines
from luafarm.wire.messages import (
    PROTOCOL,
    Accuse,
    Dependency,
    Drop,
    Gone,
    Hello,
    HostLost,
    HostRow,
    HostUp,
    Inventory,
    Kill,
    Load,
    Loaded,
    LoadFailed,
    MachineReport,
    Miss,
    Need,
    NeedKind,
    Place,
    Pressure,
    Reload,
    Reloaded,
    Report,
    Role,
    ScriptError,
    Snapshot,
    Source,
    StateRow,
    StatusIs,
    StatusWanted,
    TakeInventory,
    UseRow,
    Verdict,
    Welcome,
)
from tests.broker.peers.played import Bench, Dealer, FakeHost, SilentError


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Bench(tmp_path) as bench:
        yield bench


def answer(front: Dealer, path: bytes) -> Place:
    front.say(Miss(path, ()))
    return front.expect(Place, lambda place: place.asked == path)


def loaded(bench: Bench, name: str = "a.lua") -> tuple[Dealer, FakeHost, bytes, Load]:
    """Return a front and a host that has a state of a script."""
    path = bench.write(name, "one")
    host = bench.host()
    bench.supervisor(host)
    front = bench.front()
    front.say(Miss(path, ()))
    load = host.load()
    front.expect(Place, lambda place: place.asked == path)
    return front, host, path, load


def test_questions_for_an_unfinished_script_wait_in_a_bounded_number(
    bench: Bench,
) -> None:
    host = bench.host()
    bench.supervisor(host)
    front = bench.front()
    path = bytes(bench.root / "a.lua")
    with (bench.root / "a.lua").open("w") as file:
        file.write("half")
        file.flush()
        asked = [path + b"/%d" % i for i in range(MOST_UNFINISHED + 1)]
        for name in asked:
            front.say(Miss(name, ()))
        place = front.expect(Place)
        assert (place.asked, place.verdict) == (asked[-1], Verdict.REFUSED)
        file.write(" and half")
    assert host.load().source == b"half and half"
    for _ in asked[:-1]:
        assert front.expect(Place, lambda p: bool(p.asked)).verdict == Verdict.READY


# ---- greetings -----------------------------------------------------------------------


def test_every_greeting_is_answered_with_the_term(bench: Bench) -> None:
    for role in (Role.FRONT, Role.SUPERVISOR, Role.COMMAND):
        welcome = bench.dealer(role).greet()
        assert welcome == Welcome(PROTOCOL, Role.BROKER, "broker", 3)


def test_a_peer_of_another_protocol_is_told_ours_and_heard_no_more(
    bench: Bench,
) -> None:
    front = bench.dealer(Role.FRONT)
    front.hello = Hello(PROTOCOL + 1, Role.FRONT, "f", Machine("m"))
    assert front.greet().protocol == PROTOCOL
    front.say(Miss(b"/x", ()))
    with pytest.raises(SilentError):
        front.next(0.2)


def test_garbage_harms_nobody(bench: Bench) -> None:
    front, host, path, _ = loaded(bench)
    stranger = bench.dealer(Role.FRONT)
    for frame in (b"", b"\xc1", b"\x93\x01\x02\x03", os.urandom(1000), b"\x91\xff"):
        stranger.socket.send(frame)
        front.socket.send(frame)
    stranger.socket.send_multipart([b"a", b"b", b"c"])
    assert answer(front, path).hosts == (host.up.host,)
    assert stranger.greet().term == 3


def test_a_message_of_the_wrong_role_is_no_order(bench: Bench) -> None:
    front, host, path, _ = loaded(bench)
    lost = HostLost(host.up.host, RequestId(0), (), Script(b""), Death.CRASH, "")
    front.say(lost)
    front.say(StatusWanted())
    other = bench.supervisor(machine="elsewhere")
    other.say(lost)
    other.say(host.up)
    assert answer(front, path).hosts == (host.up.host,)


# ---- serving -------------------------------------------------------------------------


def test_a_miss_is_answered_when_a_host_has_loaded_the_script(bench: Bench) -> None:
    path = bench.write("a.lua", "return 1")
    host = bench.host()
    bench.supervisor(host)
    front = bench.front()
    assert front.expect(Snapshot).hosts == (host.up,)
    front.say(Miss(path, (host.up.host,)))
    load = host.expect(Load)
    assert (load.script, load.source) == (path, b"return 1")
    assert load.digest == digest_of(b"return 1")
    assert load.limits.wall_ms == 30_000
    with pytest.raises(SilentError):
        front.next(0.1)
    host.say(Loaded(load.script, load.epoch, 1500, 70, (), b""))
    place = front.expect(Place, lambda place: place.asked == path)
    assert place.verdict == Verdict.READY
    assert (place.hosts, place.epoch) == ((host.up.host,), load.epoch)
    limits = load.limits
    assert (place.wall_ms, place.reply_bytes) == (limits.wall_ms, limits.reply_bytes)
    longest = loglines.longest(limits.log_bytes, limits.log_lines)
    assert place.log_bytes == longest


def test_a_second_front_gets_everything_and_then_what_changes(bench: Bench) -> None:
    _, host, path, load = loaded(bench)
    second = bench.front()
    snapshot = second.expect(Snapshot)
    assert [(p.script, p.epoch) for p in snapshot.places] == [(path, load.epoch)]
    host.say(Gone(Script(path), load.epoch, Closing.MEMORY))
    place = second.expect(Place)
    assert (place.script, place.hosts, place.asked) == (path, (), b"")


def test_a_missing_script_is_told_when_it_appears(bench: Bench) -> None:
    front = bench.front()
    path = bytes(bench.root / "sub/new.lua")
    assert answer(front, path).verdict == Verdict.MISSING
    bench.write("sub/new.lua", "here")
    place = front.expect(Place)
    assert (place.script, place.verdict, place.hosts) == (path, Verdict.READY, ())


@pytest.mark.parametrize("path", [b"/etc/passwd", b"relative", b"", b"/\0", b"/.."])
def test_what_is_no_path_below_a_root_is_missing(bench: Bench, path: bytes) -> None:
    assert answer(bench.front(), path).verdict == Verdict.MISSING


def test_a_script_that_does_not_load_is_told_with_its_error(bench: Bench) -> None:
    path = bench.write("a.lua", "one")
    host = bench.host()
    bench.supervisor(host)
    front = bench.front()
    front.say(Miss(path, ()))
    load = host.expect(Load)
    error = ScriptError(
        "Syntax Error", "near 'x'", "tb", "a.lua", 1, "1| x", Budget.NONE
    )
    host.say(LoadFailed(load.script, load.epoch, error, (), b"eoops\0"))
    place = front.expect(Place, lambda place: place.asked == path)
    assert (place.verdict, place.error) == (Verdict.BROKEN, error)


def test_a_host_is_sent_what_its_scripts_ask_for(bench: Bench) -> None:
    path = bench.write("app/a.lua", "one")
    module = bench.write("lib.lua", "module")
    host = bench.host()
    bench.supervisor(host)
    front = bench.front()
    front.say(Miss(path, ()))
    load = host.expect(Load)
    host.say(Need(7, load.script, load.epoch, NeedKind.MODULE, b"lib"))
    source = host.expect(Source)
    assert (source.ticket, source.error) == (7, "")
    assert (source.blob.path, source.blob.source) == (module, b"module")
    host.say(Need(8, load.script, load.epoch, NeedKind.FILE, b"../../etc/passwd"))
    source = host.expect(Source)
    assert (source.ticket, source.blob.path) == (8, b"")
    assert "inside the script roots" in source.error
    host.say(Need(9, Script(b"/elsewhere/x.lua"), load.epoch, NeedKind.MODULE, b"lib"))
    assert host.expect(Source).blob.path == b""


def test_a_host_is_told_to_close_what_makes_room(tmp_path: Path) -> None:
    with Bench(tmp_path, broker=Broker(takeover=0.0, states=1)) as bench:
        front, host, path, load = loaded(bench)
        row = UseRow(Script(path), host.up.host, 1, 100, 0, 0, 0)
        front.say(Report((row,), (("queued", 0),)))
        other = bench.write("b.lua", "two")
        front.say(Miss(other, ()))
        assert host.expect(Drop) == Drop(Script(path), load.epoch)
        assert host.load().script == other


def test_pressure_brings_a_clone(bench: Bench) -> None:
    front, host, path, load = loaded(bench)
    second = bench.host("h2")
    bench.supervisor(second)
    front.say(Pressure(Script(path), 50_000, 10, 500_000, (second.up.host,)))
    clone = second.load()
    assert (clone.script, clone.digest) == (load.script, load.digest)
    place = front.expect(Place, lambda place: len(place.hosts) == 2)
    assert place.hosts == (host.up.host, second.up.host)


def test_preloads_are_loaded_without_a_request(tmp_path: Path) -> None:
    (tmp_path / "root/app").mkdir(parents=True)
    (tmp_path / "root/app/warm.lua").write_text("one")
    (tmp_path / "root/cold.lua").write_text("two")
    pool = PoolSettings(root=(str(tmp_path / "root"),), preload=("app/*.lua",))
    with Bench(tmp_path, pool=pool) as bench:
        host = bench.host()
        bench.supervisor(host)
        assert host.load().script == bytes(tmp_path / "root/app/warm.lua")


# ---- changes -------------------------------------------------------------------------


def test_a_changed_file_is_loaded_and_fronts_are_told(bench: Bench) -> None:
    front, host, path, first = loaded(bench)
    bench.write("a.lua", "two")
    load = host.load()
    assert load.source == b"two"
    assert load.epoch > first.epoch
    assert front.expect(Place, lambda p: p.script == path).epoch == load.epoch


def test_a_changed_module_travels_with_the_order(bench: Bench) -> None:
    path = bench.write("a.lua", "one")
    module = bench.write("lib.lua", "old")
    host = bench.host()
    bench.supervisor(host)
    front = bench.front()
    front.say(Miss(path, ()))
    load = host.expect(Load)
    used = Dependency(NeedKind.MODULE, b"lib", module, digest_of(b"old"))
    host.say(Loaded(load.script, load.epoch, 1000, 64, (used,), b""))
    front.expect(Place, lambda place: place.asked == path)
    bench.write("lib.lua", "new")
    load = host.expect(Load)
    assert [(b.name, b.path, b.source) for b in load.blobs] == [
        (b"lib", module, b"new")
    ]


def test_a_deleted_script_is_fenced_dropped_and_missing(bench: Bench) -> None:
    front, host, path, load = loaded(bench)
    (bench.root / "a.lua").unlink()
    place = front.expect(Place)
    assert (place.script, place.verdict) == (path, Verdict.MISSING)
    assert host.fence().epoch > load.epoch
    assert host.expect(Drop).script == path


def test_a_state_loaded_while_its_file_changed_is_not_told(bench: Bench) -> None:
    front, host, path, _ = loaded(bench)
    module = bench.write("lib.lua", "old")
    bench.write("a.lua", "uses lib")
    load = host.expect(Load)
    used = Dependency(NeedKind.MODULE, b"lib", module, digest_of(b"old"))
    bench.write("lib.lua", "new")
    host.say(Loaded(load.script, load.epoch, 1000, 64, (used,), b""))
    again = host.expect(Load)
    assert again.epoch > load.epoch
    assert [b.source for b in again.blobs] == [b"new"]
    used = Dependency(NeedKind.MODULE, b"lib", module, digest_of(b"new"))
    host.say(Loaded(again.script, again.epoch, 1000, 64, (used,), b""))
    place = front.expect(Place, lambda place: bool(place.hosts))
    assert (place.script, place.epoch) == (path, again.epoch)


def test_a_file_that_is_being_written_is_waited_for(tmp_path: Path) -> None:
    with Bench(tmp_path, broker=Broker(takeover=0.0, settle=0.3)) as bench:
        host = bench.host()
        bench.supervisor(host)
        front = bench.front()
        path = bench.root / "a.lua"
        path.write_text("half")
        front.say(Miss(bytes(path), ()))
        path.write_text("whole")
        assert host.load().source == b"whole"


def test_the_last_good_source_is_loaded_though_the_file_is_broken(
    bench: Bench,
) -> None:
    front, host, path, first = loaded(bench)
    bench.write("a.lua", "broken")
    load = host.expect(Load)
    error = ScriptError("Syntax Error", "x", "", "", 1, "", Budget.NONE)
    host.say(LoadFailed(load.script, load.epoch, error, (), b""))
    second = bench.host("h2")
    bench.supervisor(second)
    front.say(Pressure(Script(path), 50_000, 10, 500_000, (second.up.host,)))
    clone = second.load()
    assert (clone.source, clone.epoch) == (b"one", first.epoch)


def test_many_files_at_once_are_one_batch(bench: Bench) -> None:
    _, host, _, _ = loaded(bench)
    for i in range(20):
        bench.write(f"m{i}.lua", "x")
    bench.write("a.lua", "two")
    assert host.load().source == b"two"


def test_what_happens_is_recorded_for_the_simulator(tmp_path: Path) -> None:
    record = tmp_path / "record"
    with Bench(tmp_path, record=record) as bench:
        front, host, path, _ = loaded(bench)
        row = UseRow(Script(path), host.up.host, 5, 5000, 100, 1000, 0)
        front.say(Report((row,), ()))
        bench.wait_for(lambda status: status["scripts"][0]["requests"] == 5)
    entries = [json.loads(line) for line in record.read_text().splitlines()]
    assert [(e["script"], e.get("requests"), e.get("kib")) for e in entries] == [
        (os.fsdecode(path), None, 64),
        (os.fsdecode(path), 5, None),
    ]
    trace = Recorded(record)
    assert len(trace.requests) == 5
    assert trace.load_s == [0.001]


# ---- commands ------------------------------------------------------------------------


def test_the_status_is_json_with_everything_in_it(bench: Bench) -> None:
    front, host, path, _ = loaded(bench)
    row = UseRow(Script(path), host.up.host, 5, 5000, 100, 0, 1)
    front.say(Report((row,), (("queued", 3),)))
    answer(front, path)
    command = bench.dealer(Role.COMMAND)
    command.greet()
    command.say(StatusWanted())
    status = json.loads(command.expect(StatusIs).text)
    assert status["states"] == 1
    assert status["fronts"][0]["queued"] == 3
    assert status["fronts"][0]["name"] == "front-1"
    assert status["hosts"][0]["host"] == "h1"
    script = status["scripts"][0]
    assert script["script"] == os.fsdecode(path)
    assert (script["requests"], script["errors"]) == (5, 1)
    assert script["heat"] > 0
    assert script["states"] == ["h1"]
    assert status["files"]["watches"] > 0
    assert status["counts"]["loads"] == 1


def test_reload_waits_for_the_fences_of_all_hosts(bench: Bench) -> None:
    front, host, path, _ = loaded(bench)
    second = bench.host("h2")
    bench.supervisor(second)
    front.say(Pressure(Script(path), 50_000, 10, 500_000, (second.up.host,)))
    second.load()
    front.expect(Place, lambda place: len(place.hosts) == 2)
    command = bench.dealer(Role.COMMAND)
    command.greet()
    bench.write("a.lua", "two")
    command.say(Reload(path, True))
    host.load()
    second.load()
    with pytest.raises(SilentError):
        command.expect(Reloaded, timeout_s=0.2)
    second.fence()
    assert command.expect(Reloaded) == Reloaded(True, "")


def test_reload_tells_why_the_new_content_does_not_load(bench: Bench) -> None:
    _, host, path, _ = loaded(bench)
    command = bench.dealer(Role.COMMAND)
    command.greet()
    bench.write("a.lua", "two")
    command.say(Reload(path, True))
    load = host.expect(Load)
    error = ScriptError("Syntax Error", "near 'two'", "", "", 1, "", Budget.NONE)
    host.say(LoadFailed(load.script, load.epoch, error, (), b""))
    assert command.expect(Reloaded) == Reloaded(
        False, f"{os.fsdecode(path)}: near 'two'"
    )


def test_reload_without_waiting_is_answered_at_once(bench: Bench) -> None:
    _, host, path, _ = loaded(bench)
    command = bench.dealer(Role.COMMAND)
    command.greet()
    bench.write("a.lua", "two")
    command.say(Reload(path, False))
    assert command.expect(Reloaded).ok
    assert host.expect(Load).source == b"two"


# ---- hosts and supervisors -----------------------------------------------------------


def test_fronts_hear_of_hosts_that_come_and_go(bench: Bench) -> None:
    front = bench.front()
    front.expect(Snapshot)
    host = bench.host()
    supervisor = bench.supervisor(host)
    assert front.expect(HostUp) == host.up
    lost = HostLost(
        host.up.host, RequestId(5), (RequestId(5),), Script(b"/x"), Death.WALL, "late"
    )
    supervisor.say(lost)
    assert front.expect(HostLost) == lost


def test_a_host_that_breaks_the_protocol_is_killed(bench: Bench) -> None:
    host = bench.host()
    supervisor = bench.supervisor(host)
    host.socket.send_multipart([host.peer, b"\xc1 nonsense"])
    assert supervisor.expect(Kill).host == host.up.host


def test_a_host_that_plays_a_front_is_killed(bench: Bench) -> None:
    host = bench.host()
    supervisor = bench.supervisor(host)
    host.say(Miss(b"/x", ()))
    assert supervisor.expect(Kill).host == host.up.host


def test_a_front_may_accuse_a_host(bench: Bench) -> None:
    host = bench.host()
    supervisor = bench.supervisor(host)
    bench.front().say(Accuse(host.up.host, "bad header"))
    kill = supervisor.expect(Kill)
    assert (kill.host, kill.reason) == (host.up.host, "bad header")


def test_a_new_broker_adopts_what_the_hosts_hold(tmp_path: Path) -> None:
    with Bench(tmp_path, broker=Broker(takeover=0.3)) as bench:
        path = bench.write("a.lua", "one")
        host = bench.host()
        row = StateRow(Script(path), Epoch(5), digest_of(b"one"), 1000, 64, 9, 9000, ())
        host.inventory = Inventory((row,))
        bench.supervisor(host)
        front = bench.front()
        place = front.expect(Snapshot).places[0]
        assert (place.script, place.hosts, place.epoch) == (path, ("h1",), 5)
        with pytest.raises(SilentError):
            host.expect(Load, timeout_s=0.2)


def test_machine_reports_reach_the_status(bench: Bench) -> None:
    host = bench.host()
    supervisor = bench.supervisor(host)
    row = HostRow(host.up.host, 77, 20_000, b"/x.lua", 2500)
    supervisor.say(MachineReport((row,)))
    status = bench.wait_for(lambda status: status["hosts"][0]["requests"] == 77)
    shown = status["hosts"][0]
    assert (shown["requests"], shown["rss_kib"]) == (77, 20_000)
    assert shown["running"] == ""  # it was never given that script
    assert shown["silent_s"] == 2.5


def test_the_status_says_which_version_everybody_is_of(bench: Bench) -> None:
    supervisor = bench.dealer(Role.SUPERVISOR)
    supervisor.hello = replace(supervisor.hello, incarnation=7, version="9.1")
    supervisor.greet()
    supervisor.say(bench.host().up)
    front = bench.dealer(Role.FRONT)
    front.hello = replace(front.hello, version="9.2")
    front.greet()
    status = bench.wait_for(lambda status: status["fronts"] and status["supervisors"])
    assert status["version"] == VERSION
    assert [one["version"] for one in status["fronts"]] == ["9.2"]
    [one] = status["supervisors"]
    assert (one["machine"], one["version"]) == ("m", "9.1")
    assert one["silent_s"] < 60


def test_a_front_that_went_away_is_told_nothing_more(bench: Bench) -> None:
    front, host, path, load = loaded(bench)
    gone = bench.front()
    gone.expect(Snapshot)
    gone.close()
    host.say(Gone(Script(path), load.epoch, Closing.MEMORY))
    assert front.expect(Place, lambda place: not place.hosts).script == path
    assert answer_again(front, host, path).hosts == (host.up.host,)


def answer_again(front: Dealer, host: FakeHost, path: bytes) -> Place:
    front.say(Miss(path, ()))
    host.load()
    return front.expect(Place, lambda place: place.asked == path)


def test_what_a_hostile_host_says_is_cut_to_size(bench: Bench) -> None:
    path = bench.write("a.lua", "one")
    host = bench.host()
    bench.supervisor(host)
    front = bench.front()
    front.say(Miss(path, ()))
    load = host.expect(Load)
    error = ScriptError(
        "x" * 1000, "m" * 100_000, "t" * 100_000, "f", 1, "e", Budget.NONE
    )
    host.say(LoadFailed(load.script, load.epoch, error, (), b"i" * 1_000_000))
    place = front.expect(Place, lambda place: place.asked == path)
    assert place.error is not None
    assert len(place.error.message) < 20_000
    assert len(place.error.kind) <= 200


def test_a_state_with_absurdly_many_dependencies_costs_its_host_the_life(
    bench: Bench,
) -> None:
    path = bench.write("a.lua", "one")
    host = bench.host()
    supervisor = bench.supervisor(host)
    bench.front().say(Miss(path, ()))
    load = host.expect(Load)
    used = tuple(
        Dependency(NeedKind.MODULE, b"m%d" % i, b"", b"") for i in range(10_001)
    )
    host.say(Loaded(load.script, load.epoch, 1, 1, used, b""))
    assert supervisor.expect(Kill).host == host.up.host


def test_an_implausible_epoch_costs_its_host_the_life(bench: Bench) -> None:
    path = bench.write("a.lua", "one")
    host = bench.host()
    row = StateRow(Script(path), Epoch(1 << 63), digest_of(b"one"), 1, 1, 1, 1, ())
    host.inventory = Inventory((row,))
    supervisor = bench.dealer(Role.SUPERVISOR)
    supervisor.greet()
    supervisor.say(host.up)
    host.expect(TakeInventory)
    assert supervisor.expect(Kill).host == host.up.host
    assert bench.wait_for(lambda status: True)["term"] < 1 << 23


def test_a_flood_of_questions_is_answered_at_a_bounded_rate(bench: Bench) -> None:
    path = bench.write("a.lua", "one")
    host = bench.host()
    bench.supervisor(host)
    bench.front().say(Miss(path, ()))
    load = host.expect(Load)
    for i in range(NEEDS + 10):
        host.say(Need(i, load.script, load.epoch, NeedKind.MODULE, b"none"))
    answers = [host.expect(Source) for _ in range(NEEDS + 10)]
    assert [a.ticket for a in answers] == list(range(NEEDS + 10))


def test_who_asks_on_without_waiting_for_answers_is_killed(bench: Bench) -> None:
    path = bench.write("a.lua", "one")
    host = bench.host()
    supervisor = bench.supervisor(host)
    bench.front().say(Miss(path, ()))
    load = host.expect(Load)
    for i in range(4 * NEEDS):
        host.say(Need(i, load.script, load.epoch, NeedKind.MODULE, b"none"))
    assert "questions" in supervisor.expect(Kill).reason


def test_who_asks_on_without_reading_the_answers_is_killed(bench: Bench) -> None:
    path = bench.write("a.lua", "one")
    bench.write("data.txt", "x" * (1 << 20))
    host = bench.host()
    supervisor = bench.supervisor(host)
    bench.front().say(Miss(path, ()))
    load = host.expect(Load)
    host.socket.rcvhwm = 1
    for i in range(40):
        host.say(Need(i, load.script, load.epoch, NeedKind.FILE, b"data.txt"))
    assert "bytes waiting" in supervisor.expect(Kill).reason


def test_an_inventory_that_nobody_asked_for_is_not_even_read(bench: Bench) -> None:
    path = bench.write("a.lua", "one")
    host = bench.host()
    supervisor = bench.supervisor(host)
    row = StateRow(Script(path), Epoch(1), b"0" * 16, 1, 1, 1, 1, ())
    host.say(Inventory((row,) * 3))
    kill = supervisor.expect(Kill)
    assert (kill.host, kill.reason) == (
        host.up.host,
        "an inventory that nobody asked for",
    )
    assert not bench.wait_for(lambda _: True)["scripts"]


def test_a_message_that_is_too_large_costs_its_host_the_life(bench: Bench) -> None:
    host = bench.host()
    supervisor = bench.supervisor(host)
    host.say(Gone(Script(b"/x"), Epoch(1), Closing.BROKEN, bytes(MAX_FRAME)))
    reason = supervisor.expect(Kill).reason
    assert "bytes; the limit is" in reason


def test_a_host_that_ends_its_connection_and_lives_on_is_killed(
    bench: Bench,
) -> None:
    host = bench.host()
    supervisor = bench.supervisor(host)
    host.socket.unbind(host.endpoint)
    host.socket.close()
    assert supervisor.expect(Kill).reason == "it ended its connection"


def test_a_script_of_another_pool_says_nothing_in_the_log(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "luafarm")
    _, host, path, load = loaded(bench)
    host.say(Gone(Script(b"/else/x.lua"), Epoch(1), Closing.DROPPED, b"iforged\0"))
    host.say(Gone(Script(path), load.epoch, Closing.DROPPED, b"itrue\0"))
    bench.wait_for(lambda status: not status["states"])
    assert "true" in caplog.text
    assert "forged" not in caplog.text


# ---- the end -------------------------------------------------------------------------


def test_a_broker_that_stops_leaves_no_descriptor_and_no_thread(
    tmp_path: Path,
) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    with Bench(tmp_path) as bench:
        loaded(bench)
    before = descriptors()
    threads = threading.active_count()
    for i in range(3):
        (tmp_path / f"{i}").mkdir()
        with Bench(tmp_path / f"{i}") as bench:
            loaded(bench)
    assert descriptors() == before
    assert threading.active_count() == threads
