"""What the owners of keys may be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luafarm.keys.badges import Badge, Badges
from luafarm.names import Machine
from luafarm.wire.messages import PROTOCOL, Hello, Role

KEYS = {
    "fcgi": Role.FRONT,
    "fcgi-web2": Role.FRONT,
    "vmhost": Role.SUPERVISOR,
    "vmhost-a": Role.SUPERVISOR,
    "vmhost-b": Role.SUPERVISOR,
    "broker": Role.BROKER,
    "command": Role.COMMAND,
}


def badge(name: str) -> Badge:
    machine = Machine(name.partition("-")[2])
    return Badge(f"key of {name}".encode(), KEYS[name], machine, f"{name}.public")


BADGES = Badges([badge(name) for name in KEYS])


def refusal(key: str, role: Role, machine: str) -> str:
    hello = Hello(PROTOCOL, role, "x", Machine(machine))
    return BADGES.refusal(f"key of {key}", hello)


@pytest.mark.parametrize(
    ("key", "role", "machine", "why"),
    [
        ("fcgi", Role.FRONT, "web1", ""),
        ("fcgi", Role.FRONT, "web2", "machine web2 has a key of its own"),
        ("fcgi", Role.SUPERVISOR, "a", "fcgi.public is no key of a supervisor"),
        ("fcgi-web2", Role.FRONT, "web2", ""),
        ("fcgi-web2", Role.FRONT, "web1", "fcgi-web2.public speaks for machine web2"),
        ("vmhost-a", Role.SUPERVISOR, "a", ""),
        ("vmhost-a", Role.SUPERVISOR, "b", "vmhost-a.public speaks for machine a only"),
        ("vmhost-a", Role.SUPERVISOR, "", "vmhost-a.public speaks for machine a only"),
        ("vmhost", Role.SUPERVISOR, "c", ""),
        ("vmhost", Role.SUPERVISOR, "a", "a key of its own, vmhost-a.public"),
        ("vmhost", Role.HOST, "c", "no key of a VM host"),
        ("broker", Role.BROKER, "a", ""),
        ("broker", Role.COMMAND, "a", "no key of a command"),
        ("command", Role.COMMAND, "a", ""),
        ("nobody", Role.FRONT, "web1", "key of nobody is no key of a front"),
    ],
)
def test_a_key_speaks_for_what_its_file_is_named_after(
    key: str, role: Role, machine: str, why: str
) -> None:
    found = refusal(key, role, machine)
    assert bool(found) == bool(why)
    assert why in found


def test_a_key_in_two_files_may_be_both() -> None:
    one, other = badge("vmhost-a"), badge("fcgi")
    badges = Badges([one, Badge(one.key, other.role, other.machine, other.file)])
    for role in (Role.SUPERVISOR, Role.FRONT):
        hello = Hello(PROTOCOL, role, "x", Machine("a"))
        assert badges.refusal(one.key.decode(), hello) == ""
    assert badges.keys(Role.FRONT) == badges.keys(Role.SUPERVISOR) == {one.key}


@given(st.lists(st.sampled_from(sorted(KEYS)), unique=True), st.sampled_from("abc"))
def test_no_machine_with_a_key_of_its_own_is_spoken_for_by_another_key(
    names: list[str], machine: str
) -> None:
    badges = Badges([badge(name) for name in names])
    hello = Hello(PROTOCOL, Role.SUPERVISOR, "x", Machine(machine))
    speakers = [n for n in names if not badges.refusal(f"key of {n}", hello)]
    if f"vmhost-{machine}" in names:
        assert speakers == [f"vmhost-{machine}"]
    else:
        assert speakers == [name for name in names if name == "vmhost"]
