"""The adapter speaks the simulator's language and decides nothing."""

import sys
from dataclasses import fields, is_dataclass, make_dataclass
from types import ModuleType
from typing import Any

from bench.simulate import interface
from bench.simulate import interface as say
from bench.simulate.adapter import Broker, Front


def config(hosts: int = 4, states: int = 10, **changes: Any) -> say.Config:
    names = [f"host {n}" for n in range(hosts)]
    return say.Config(hosts=names, states=states, clones=4, **changes)


def kinds(actions: list[Any]) -> list[str]:
    return [type(action).__name__ for action in actions]


def load(broker: Broker, script: object, now: float = 0.0) -> tuple[say.Load, Any]:
    """Let a script be loaded; return the order and what was published."""
    (order,) = broker.handle(now, say.Miss(script))
    (publish,) = broker.handle(
        now, say.Loaded(script, order.host, order.epoch, 0.001, 50)
    )
    return order, publish


def test_a_miss_is_loaded_and_published_once() -> None:
    machine = Broker(config())
    order, publish = load(machine, ("any", "hashable"))
    assert order.script == ("any", "hashable")
    assert publish == say.Publish(("any", "hashable"), (order.host,), order.epoch)


def test_a_front_that_asks_again_is_told_again() -> None:
    machine = Broker(config())
    _, publish = load(machine, "s")
    assert machine.handle(1.0, say.Miss("s")) == [publish]


def test_pressure_loads_a_clone_on_an_idle_host() -> None:
    machine = Broker(config())
    order, _ = load(machine, "s")
    use = say.Use("s", order.host, 5, 0.005, 0.01, 0.0, 0.1)
    assert machine.handle(0.2, say.Report([use])) == []
    idle = tuple(h for h in config().hosts if h != order.host)
    (clone,) = machine.handle(0.3, say.Pressure("s", 0.02, 5, 0.1, idle))
    assert type(clone) is say.Load
    assert clone.host in idle


def test_a_full_farm_evicts_and_a_silent_simulator_counts_as_confirming() -> None:
    machine = Broker(config(states=1))
    order, _ = load(machine, "a")
    machine.handle(0.1, say.Report([say.Use("a", order.host, 1, 0.001, 0, 0, 0.1)]))
    actions = machine.handle(0.2, say.Miss("b"))
    assert kinds(actions) == ["Evict", "Publish", "Load"]
    assert machine.handle(2.0, say.Tick()) == []
    assert not machine._machine.farm.closings


def test_a_change_is_renewed_fenced_and_answered() -> None:
    machine = Broker(config())
    first, _ = load(machine, "s")
    (again,) = machine.handle(1.0, say.Changed(("s",), sync="me"))
    assert (again.script, again.host) == ("s", first.host)
    assert again.epoch > first.epoch
    done = say.Loaded("s", again.host, again.epoch, 0.001, 50)
    assert kinds(machine.handle(1.1, done)) == ["Publish", "Fence"]
    fenced = say.Fenced("s", again.host, again.epoch)
    assert machine.handle(1.2, fenced) == [say.Answer("me", True)]


def test_an_unknown_path_is_answered_at_once() -> None:
    machine = Broker(config())
    assert machine.handle(0.0, say.Changed(("x",), "me")) == [say.Answer("me", True)]


def test_a_change_that_does_not_load_is_answered_with_the_error() -> None:
    machine = Broker(config())
    load(machine, "s")
    (again,) = machine.handle(1.0, say.Changed(("s",), sync=7))
    failed = say.LoadFailed("s", again.host, again.epoch, "bad")
    assert machine.handle(1.1, failed) == [say.Answer(7, False, "bad")]


def test_hosts_come_and_go() -> None:
    machine = Broker(config(hosts=0))
    assert machine.handle(0.0, say.Miss("s")) == []
    (order,) = machine.handle(0.1, say.HostUp("new"))
    assert (order.script, order.host) == ("s", "new")
    machine.handle(0.2, say.Loaded("s", "new", order.epoch, 0.001, 50))
    assert say.Publish("s", (), order.epoch) in machine.handle(0.3, say.HostDown("new"))


def test_it_answers_in_the_vocabulary_that_the_config_comes_from() -> None:
    other = ModuleType("another_interface")
    for name, kind in vars(interface).items():
        if is_dataclass(kind):
            names = [(f.name, f.type, f) for f in fields(kind)]
            made = make_dataclass(name, names)
            made.__module__ = other.__name__
            setattr(other, name, made)
    sys.modules[other.__name__] = other
    try:
        machine = Broker(other.Config(hosts=[1], states=2, clones=1))
        (order,) = machine.handle(0.0, other.Miss("s"))
        assert type(order) is other.Load
        front = Front(other.Config(hosts=[1], states=2, clones=1))
        actions = front.handle(0.0, other.Arrive(1, "s"))
        assert type(actions[0]) is other.ToBroker
        assert type(actions[0].event) is other.Miss
    finally:
        del sys.modules[other.__name__]


def test_the_same_events_give_the_same_actions() -> None:
    def play() -> list[Any]:
        machine = Broker(config(states=3))
        actions: list[Any] = []
        for n in range(200):
            script = n * 7 % 11
            for action in machine.handle(n / 10, say.Miss(script, ("host 1",))):
                actions.append(action)
                if isinstance(action, say.Load):
                    done = say.Loaded(action.script, action.host, action.epoch, 0.01, 9)
                    actions += machine.handle(n / 10, done)
                    use = say.Use(action.script, action.host, 1, 0.001, 0, 0, n / 10)
                    actions += machine.handle(n / 10, say.Report([use]))
        return actions

    assert play() == play()


def test_a_front_sends_to_published_hosts_and_reports_what_it_saw() -> None:
    front = Front(config())
    actions = front.handle(0.0, say.Arrive("r1", "s"))
    assert actions[0] == say.ToBroker(say.Miss("s", tuple(config().hosts)))
    actions = front.handle(0.01, say.Publish("s", ("host 2",), 5))
    assert actions == [say.Send("r1", "host 2", 5)]
    assert front.handle(0.02, say.Reply("r1", "host 2", 0.004)) == []
    actions = front.handle(0.11, say.Timer("report"))
    (told,) = [a.event for a in actions if isinstance(a, say.ToBroker)]
    assert [(u.script, u.host, u.n) for u in told.rows] == [("s", "host 2", 1)]


def test_a_front_complains_when_requests_wait() -> None:
    front = Front(config())
    front.handle(0.0, say.Publish("s", ("host 0",), 5))
    front.handle(0.0, say.Arrive(1, "s"))
    actions = front.handle(0.0, say.Arrive(2, "s"))
    (timer,) = [a for a in actions if isinstance(a, say.SetTimer)]
    actions = front.handle(timer.at, say.Timer(timer.tag))
    (told,) = [a.event for a in actions if isinstance(a, say.ToBroker)]
    assert (told.script, told.queued) == ("s", 1)
    assert "host 0" not in told.idle


def test_what_a_lost_host_had_is_sent_elsewhere() -> None:
    front = Front(config())
    front.handle(0.0, say.Publish("s", ("host 0", "host 1"), 5))
    front.handle(0.0, say.Arrive(1, "s"))
    (send,) = front.handle(0.1, say.HostDown("host 0"))[:1]
    assert send == say.Send(1, "host 1", 5)
