"""The VM host's machine: frames in, work and frames out."""

from collections.abc import Iterable

import pytest

from luafarm.ends import Closing
from luafarm.keys.badges import Badge, Badges
from luafarm.names import Epoch, HostId, Machine, RequestId, Script
from luafarm.wire import codec
from luafarm.wire.messages import (
    PROTOCOL,
    SAFE,
    Blob,
    Cancel,
    Dones,
    Drop,
    Fence,
    Fenced,
    Gone,
    Hello,
    Inventory,
    Load,
    Loaded,
    LoadFailed,
    Message,
    Need,
    NeedKind,
    Outcome,
    Part,
    Refused,
    Role,
    TakeInventory,
    Want,
    Welcome,
)
from tests.vmhost.host.hostdriver import (
    BROKER,
    ERROR,
    FRONT,
    LIMITS,
    OTHER,
    QUICK_NS,
    SLOW_NS,
    A,
    B,
    Driver,
    row,
)
from vmhost.host.generations import MAX_FENCES
from vmhost.host.machine import HostMachine
from vmhost.host.peers import MANY, MAX_COMPLAINTS
from vmhost.host.queue import MAX_QUEUE
from vmhost.host.replies import PATIENCE_NS
from vmhost.host.services.body import READ
from vmhost.host.services.files import REQUIRE
from vmhost.host.task import ASK_AGAIN_NS, PIECE
from vmhost.host.work import Close
from vmhost.host.work import Load as LoadWork


@pytest.fixture
def farm() -> Driver:
    return Driver()


def test_quick_replies_share_a_frame(farm: Driver) -> None:
    farm.hold(A, service_ns=QUICK_NS)
    farm.runs(row(1), row(2), row(3))
    assert [farm.run(), farm.run(), farm.run()] == [1, 2, 3]
    assert farm.answered() == []
    farm.rest()
    assert farm.answered() == [[(1, 0), (2, 0), (3, 0)]]


def test_no_reply_waits_longer_than_patience(farm: Driver) -> None:
    farm.hold(A, service_ns=QUICK_NS)
    farm.runs(*[row(request) for request in range(1, 31)])
    for _ in range(30):
        farm.run()
    farm.rest()
    frames = farm.answered()
    answers = [answer for frame in frames for answer in frame]
    assert answers == [(request, 0) for request in range(1, 31)]
    assert {len(frame) for frame in frames[:-1]} == {PATIENCE_NS // QUICK_NS + 2}


@pytest.mark.parametrize("service_ns", [0, SLOW_NS])
def test_replies_go_before_a_script_that_is_slow_or_unknown(
    farm: Driver, service_ns: int
) -> None:
    farm.hold(A, service_ns=QUICK_NS)
    farm.hold(B, service_ns=service_ns)
    farm.runs(row(1), row(2), row(3, B))
    farm.run()
    farm.run()
    farm.take()
    assert farm.answered() == [[(1, 0), (2, 0)]]


def test_replies_go_before_a_load(farm: Driver) -> None:
    farm.hold(A, service_ns=QUICK_NS)
    farm.runs(row(1))
    farm.hear(BROKER, farm.load(B))
    farm.run()
    assert isinstance(farm.take(), LoadWork)
    assert farm.answered() == [[(1, 0)]]


def test_the_reply_of_an_unsafe_run_goes_at_once_and_takes_others_along(
    farm: Driver,
) -> None:
    farm.hold(A, service_ns=QUICK_NS)
    farm.runs(row(1), row(2, flags=0), row(3))
    farm.run()
    farm.run()
    assert farm.answered() == [[(1, 0), (2, 0)]]


def test_replies_go_when_they_are_many_bytes(farm: Driver) -> None:
    farm.hold(A, service_ns=1)
    farm.runs(row(1), row(2), row(3))
    farm.run(1, b"x" * (PIECE // 2))
    assert farm.answered() == []
    farm.run(1, b"x" * (PIECE // 2 + 1))
    assert farm.answered() == [[(1, 0), (2, 0)]]


def test_replies_go_when_their_logs_are_many_bytes(farm: Driver) -> None:
    farm.hold(A, service_ns=1)
    farm.runs(row(1), row(2), row(3))
    farm.run(1, log=b"x" * (PIECE // 2))
    assert farm.answered() == []
    farm.run(1, log=b"x" * (PIECE // 2 + 1))
    assert farm.answered() == [[(1, 0), (2, 0)]]


def test_each_front_gets_its_own_replies(farm: Driver) -> None:
    farm.hold(A, service_ns=QUICK_NS)
    farm.runs(row(1))
    farm.runs(row(2), peer=OTHER)
    farm.runs(row(3))
    assert [farm.run(), farm.run(), farm.run()] == [1, 2, 3]
    farm.rest()
    said = dict(farm.said())
    for peer, requests in ((FRONT, [1, 3]), (OTHER, [2])):
        dones = said[peer]
        assert isinstance(dones, Dones)
        assert [r[0] for r in dones.rows] == requests


def test_a_large_reply_goes_in_parts_after_what_was_finished_before(
    farm: Driver,
) -> None:
    farm.hold(A, service_ns=QUICK_NS)
    farm.runs(row(1), row(2))
    farm.run()
    farm.run(body=b"x" * (2 * PIECE + 1))
    farm.rest()
    said = farm.told(FRONT)
    assert isinstance(said[0], Dones)
    parts = [m for m in said if isinstance(m, Part)]
    assert [(p.request, p.head, len(p.chunk)) for p in parts] == [
        (2, b"head", PIECE),
        (2, b"", PIECE),
        (2, b"", 1),
    ]
    assert isinstance(said[-1], Dones)
    assert said[-1].rows[0][:4] == (2, 0, b"%d" % (2 * PIECE + 1), b"")


def test_loads_runs_and_closings_keep_their_order(farm: Driver) -> None:
    farm.hold(A)
    farm.hear(BROKER, farm.load(B))
    farm.runs(row(1, B), row(2, A))
    farm.hear(BROKER, Drop(B, Epoch(1)))
    load = farm.take()
    assert isinstance(load, LoadWork)
    farm.machine.loaded(load, 1, 5, b"")
    assert [farm.run(), farm.run()] == [1, 2]
    close = farm.take()
    assert isinstance(close, Close)
    assert close.held.script == B


def test_a_drop_takes_the_state_out_of_service_at_once(farm: Driver) -> None:
    farm.hold(A)
    farm.runs(row(1), row(2))
    farm.hear(BROKER, Drop(A, Epoch(1)))
    assert [close.reason for close in farm.close()] == ["dropped"]
    said = farm.said()
    assert (BROKER, Gone(A, Epoch(1), Closing.DROPPED)) in said
    rows = [m.rows for _, m in said if isinstance(m, Dones)]
    assert [(r[0], r[1]) for r in rows[0]] == [(1, 3), (2, 3)]


def test_a_drop_of_an_older_epoch_leaves_the_newer_state(farm: Driver) -> None:
    farm.hold(A, epoch=5)
    farm.hear(BROKER, Drop(A, Epoch(4)))
    farm.rest()
    assert farm.told() == [Gone(A, Epoch(4), Closing.DROPPED)]
    farm.runs(row(1))
    assert farm.run() == 1


def renew(farm: Driver, epoch: int) -> list[int]:
    """Have a newer generation loaded beside the one that is held.

    Returns the epochs that are closed for it at once.
    """
    farm.hear(BROKER, farm.load(A, epoch))
    load = farm.take()
    assert isinstance(load, LoadWork)
    farm.machine.loaded(load, 1, 5, b"log")
    loaded = farm.told()[0]
    assert isinstance(loaded, Loaded)
    assert (loaded.epoch, loaded.log) == (epoch, b"log")
    return closed(farm)


def started(farm: Driver, *wanted: int) -> list[int]:
    """Return the epochs of the states with which such runs start."""
    epochs: list[int] = []
    for epoch in wanted:
        farm.runs(row(1, epoch=epoch))
        run = farm.take_run()
        epochs.append(run.held.epoch)
        farm.finish(run)
        farm.machine.kept(run.held, 1)
    farm.rest()
    farm.said()
    return epochs


def closed(farm: Driver) -> list[int]:
    """Close what is to be closed and return the epochs."""
    return [close.held.epoch for close in farm.close()]


def epochs(farm: Driver) -> list[int]:
    """Return the epochs of the script that are in service, as the machine ends."""
    farm.machine.stop(farm.now_ns)
    return closed(farm)


def test_until_a_fence_a_new_state_serves_only_fronts_that_want_it(
    farm: Driver,
) -> None:
    farm.hold(A, epoch=1)
    assert renew(farm, 2) == []
    assert started(farm, 0, 1, 2, 1) == [1, 1, 2, 1]
    farm.hear(BROKER, Fence(A, Epoch(2)))
    assert closed(farm) == [1]
    assert farm.told() == [Fenced(A, Epoch(2)), Gone(A, Epoch(1), Closing.REPLACED)]
    assert started(farm, 0, 1, 2) == [2, 2, 2]


def test_a_drop_of_the_old_state_puts_the_new_one_in_force(farm: Driver) -> None:
    farm.hold(A, epoch=1)
    renew(farm, 2)
    farm.hear(BROKER, Drop(A, Epoch(1)))
    assert closed(farm) == [1]
    assert started(farm, 1) == [2]


def test_below_a_fence_an_old_state_is_closed_as_soon_as_there_is_a_new_one(
    farm: Driver,
) -> None:
    farm.hold(A, epoch=1)
    farm.hear(BROKER, Fence(A, Epoch(2)))
    farm.said()
    assert renew(farm, 2) == [1]
    assert epochs(farm) == [2]


def test_of_two_new_states_in_a_row_the_first_was_never_in_force(farm: Driver) -> None:
    farm.hold(A, epoch=1)
    renew(farm, 2)
    assert renew(farm, 3) == [2]
    assert started(farm, 1, 2, 3) == [1, 3, 3]


def test_old_and_new_state_are_dropped_together(farm: Driver) -> None:
    farm.hold(A, epoch=1)
    renew(farm, 2)
    farm.hear(BROKER, Drop(A, Epoch(2)))
    assert closed(farm) == [2, 1]
    assert epochs(farm) == []


def test_with_a_new_state_that_breaks_the_old_one_goes_as_well(farm: Driver) -> None:
    farm.hold(A, epoch=1)
    renew(farm, 2)
    farm.runs(row(1, epoch=2))
    run = farm.take_run()
    farm.finish(run)
    farm.machine.ended(run.held, Closing.MEMORY, has_hook=False)
    assert [(c.held.epoch, c.reason, c.has_hook) for c in farm.close()] == [
        (2, "memory", False),
        (1, "replaced", True),
    ]
    assert epochs(farm) == []


@pytest.mark.parametrize(("wanted", "kept"), [(1, 1), (2, 2)])
def test_an_inventory_tells_of_the_new_state_if_a_front_knew_of_it(
    farm: Driver, wanted: int, kept: int
) -> None:
    farm.hold(A, epoch=1)
    renew(farm, 2)
    started(farm, wanted)
    farm.hear(BROKER, TakeInventory())
    (inventory,) = farm.told()
    assert isinstance(inventory, Inventory)
    assert [state.epoch for state in inventory.states] == [kept]
    assert closed(farm) == [3 - kept]
    assert started(farm, 0) == [kept]


def test_a_failed_load_changes_nothing(farm: Driver) -> None:
    farm.hold(A, epoch=1)
    farm.hear(BROKER, farm.load(A, epoch=2))
    load = farm.take()
    assert isinstance(load, LoadWork)
    farm.machine.failed(load, ERROR, b"log")
    (failed,) = farm.told()
    assert isinstance(failed, LoadFailed)
    assert (failed.epoch, failed.error, failed.log) == (2, ERROR, b"log")
    assert epochs(farm) == [1]


def test_a_run_may_ask_for_a_least_epoch(farm: Driver) -> None:
    farm.hold(A, epoch=3)
    farm.runs(row(1, epoch=4), row(2, epoch=3))
    assert farm.run() == 2
    farm.rest()
    answers = [answer for frame in farm.answered() for answer in frame]
    assert answers == [(1, Outcome.ABSENT), (2, Outcome.OK)]


def test_a_load_below_the_fence_is_refused(farm: Driver) -> None:
    farm.hear(BROKER, Fence(A, Epoch(5)), Fence(A, Epoch(3)), farm.load(A, epoch=4))
    farm.rest()
    assert isinstance(farm.told()[-1], LoadFailed)
    farm.hold(A, epoch=5)


def test_a_fence_that_comes_while_a_state_loads_holds_for_it(farm: Driver) -> None:
    farm.hear(BROKER, farm.load(A, epoch=4))
    load = farm.take()
    assert isinstance(load, LoadWork)
    farm.hear(BROKER, Fence(A, Epoch(5)))
    farm.machine.loaded(load, 1, 5, b"")
    farm.runs(row(1))
    farm.rest()
    assert farm.answered() == [[(1, Outcome.ABSENT)]]


def test_fences_are_remembered_in_a_bounded_table(farm: Driver) -> None:
    for number in range(MAX_FENCES + 1):
        farm.hear(BROKER, Fence(Script(b"%d" % number), Epoch(9)))
    farm.said()
    farm.hear(BROKER, farm.load(Script(b"%d" % MAX_FENCES), epoch=8))
    farm.rest()
    assert isinstance(farm.told()[0], LoadFailed)
    farm.hold(Script(b"0"), epoch=8)


def test_no_more_states_than_allowed_are_loaded() -> None:
    farm = Driver(max_states=1)
    farm.hold(A)
    farm.hear(BROKER, farm.load(B))
    farm.rest()
    assert isinstance(farm.told()[0], LoadFailed)
    farm.hold(A, epoch=2)


def test_too_many_runs_are_sent_back(farm: Driver) -> None:
    farm.hold(A)
    farm.runs(*[row(request) for request in range(MAX_QUEUE)])
    farm.runs(row(MAX_QUEUE + 1), row(MAX_QUEUE + 2))
    assert farm.run() == 0
    frames = farm.answered()
    absent = (MAX_QUEUE + 1, Outcome.ABSENT), (MAX_QUEUE + 2, Outcome.ABSENT)
    assert frames == [list(absent)]


def test_a_front_that_is_owed_too_much_is_forgotten_with_all_it_waits_for(
    farm: Driver,
) -> None:
    farm.hold(A, service_ns=QUICK_NS)
    farm.runs(row(1), row(2), row(3))
    farm.runs(row(4), peer=OTHER)
    farm.run()
    run = farm.take_run()
    assert run.row == row(2)
    farm.lose(FRONT)
    assert farm.task.is_cancelled
    farm.finish(run)
    assert farm.run() == 4
    farm.rest()
    assert [peer for peer, _ in farm.said()] == [OTHER]


def test_a_cancelled_run_is_answered_once(farm: Driver) -> None:
    farm.hold(A)
    farm.runs(row(1), row(2))
    farm.hear(OTHER, Cancel(RequestId(2)))
    farm.hear(FRONT, Cancel(RequestId(2)), Cancel(RequestId(2)), Cancel(RequestId(7)))
    assert farm.run() == 1
    farm.rest()
    answers = [answer for frame in farm.answered() for answer in frame]
    assert answers == [(2, Outcome.CANCELLED), (1, Outcome.OK)]


def test_a_cancellation_does_not_outlive_its_run(farm: Driver) -> None:
    farm.hold(A)
    farm.runs(row(1), row(2))
    run = farm.take_run()
    farm.hear(FRONT, Cancel(RequestId(1)))
    assert farm.task.is_cancelled
    farm.finish(run)
    farm.take()
    assert not farm.task.is_cancelled


def test_whoever_may_not_be_what_it_says_is_refused() -> None:
    farm = Driver()
    farm.hear(b"command", Hello(PROTOCOL, Role.COMMAND, "x", Machine("m")))
    farm.hear(b"future", Hello(PROTOCOL + 1, Role.FRONT, "x", Machine("m")))
    refused = [message for _, message in farm.said()]
    assert refused == [
        Refused("a command does not call VM hosts"),
        Refused(f"it speaks protocol {PROTOCOL + 1}, this VM host {PROTOCOL}"),
    ]
    assert set(farm.machine.peers.roles) == {FRONT, OTHER, BROKER}


def test_with_keys_a_peer_is_what_its_key_says() -> None:
    front = Badge(b"f" * 40, Role.FRONT, Machine("m"), "fcgi-m.public")
    broker = Badge(b"b" * 40, Role.BROKER, Machine(""), "broker.public")
    machine = HostMachine(HostId("host"), 10, 1000, Badges([front, broker]))
    hello = codec.encode(Hello(PROTOCOL, Role.BROKER, "x", Machine("m")))
    machine.hear(b"front", hello, 0, "f" * 40)
    machine.hear(b"nobody", hello, 0, "n" * 40)
    said = [codec.decode(frame) for _, frame in machine.outbox()]
    assert said == [
        Refused("fcgi-m.public is no key of a broker"),
        Refused(f"{'n' * 40} is no key of a broker"),
    ]
    machine.hear(b"broker", hello, 0, "b" * 40)
    assert machine.peers.roles == {b"broker": Role.BROKER}


@pytest.mark.parametrize(
    ("peer", "message"),
    [
        (FRONT, TakeInventory()),
        (FRONT, Drop(A, Epoch(1))),
        (FRONT, Welcome(PROTOCOL, Role.HOST, "x", 0)),
        (BROKER, Cancel(RequestId(1))),
        (BROKER, Dones(())),
        (b"stranger", TakeInventory()),
    ],
)
def test_what_a_peer_must_not_say_is_dropped(
    farm: Driver, peer: bytes, message: Message
) -> None:
    farm.hear(peer, message)
    farm.rest()
    assert farm.said() == []
    assert farm.machine.peers.bad_frames == 1


def test_runs_of_a_broker_are_dropped(farm: Driver) -> None:
    farm.hold(A)
    farm.runs(row(1), peer=BROKER)
    farm.rest()
    assert farm.machine.peers.bad_frames == 1


def test_complaints_come_to_an_end(farm: Driver) -> None:
    for _ in range(100):
        farm.machine.hear(FRONT, b"\xc1", 0)
    assert farm.machine.peers.bad_frames == 100
    assert len(farm.machine.peers.complaints) == MAX_COMPLAINTS


def test_many_peers_are_probed_so_that_the_dead_are_found(farm: Driver) -> None:
    for number in range(MANY - 3):
        farm.hear(b"%d" % number, Hello(PROTOCOL, Role.FRONT, "x", Machine("m")))
        assert len(farm.said()) == 1
    farm.hear(b"last", Hello(PROTOCOL, Role.FRONT, "x", Machine("m")))
    probed = {peer for peer, _ in farm.said()}
    assert len(probed) == MANY + 1
    for peer in probed - {FRONT, BROKER}:
        farm.lose(peer)
    farm.hear(b"new", Hello(PROTOCOL, Role.FRONT, "x", Machine("m")))
    assert [peer for peer, _ in farm.said()] == [b"new"]


def needs(said: Iterable[tuple[bytes, Message]]) -> list[tuple[bytes, int]]:
    return [(peer, m.ticket) for peer, m in said if isinstance(m, Need)]


def test_a_need_goes_to_the_newest_broker_and_to_each_that_comes(
    farm: Driver,
) -> None:
    farm.hear(b"newer", Hello(PROTOCOL, Role.BROKER, "x", Machine("m")))
    farm.hear(BROKER, farm.load(A))
    load = farm.take()
    assert isinstance(load, LoadWork)
    farm.said()
    farm.machine.ask((REQUIRE.operation.number, b"m"), 0)
    assert needs(farm.said()) == [(b"newer", 1)]
    farm.lose(b"newer")
    assert needs(farm.said()) == [(BROKER, 1)]
    farm.task.look(ASK_AGAIN_NS)
    assert needs(farm.said()) == []
    farm.task.look(ASK_AGAIN_NS + 1)
    assert needs(farm.said()) == [(BROKER, 1)]
    farm.lose(BROKER)
    assert farm.task.take() == (False, b"the broker cannot be reached", b"")
    assert load.held.used == {}


def test_sources_of_all_states_are_held_once(farm: Driver) -> None:
    module = Blob(NeedKind.MODULE, b"m", b"/m", b"digest", b"x" * 1000)
    sources = set()
    for number in range(3):
        script = Script(b"%d" % number)
        farm.hear(
            BROKER, Load(script, Epoch(1), b"own", b"y" * 1000, (module,), LIMITS)
        )
        load = farm.take()
        assert isinstance(load, LoadWork)
        held = load.held
        known = held.recall(NeedKind.MODULE, b"m")
        assert known is not None
        sources |= {id(held.source), id(known.blob.source)}
        farm.machine.loaded(load, 1, 5, b"")
    assert len(sources) == 2


def test_a_body_is_wanted_from_the_front_of_the_run(farm: Driver) -> None:
    farm.hold(A)
    farm.runs((5, A, 0, SAFE, b"", None, 3 * PIECE, 0), peer=OTHER)
    farm.take()
    farm.machine.ask((READ.operation.number, 0, 10 * PIECE), 0)
    assert farm.said() == [(OTHER, Want(RequestId(5), 0, 0, PIECE))]
