"""What a new supervisor is told of those that live."""

from luafarm.command.neighbours import Neighbour, Neighbours


def test_the_first_one_is_told_of_nobody() -> None:
    assert Neighbours().arguments() == []


def test_each_is_told_of_all_that_live_and_of_the_uids_that_they_have() -> None:
    neighbours = Neighbours()
    neighbours.comes(1, Neighbour(11))
    assert neighbours.arguments() == ["--beside", "11"]
    neighbours.takes(1, "7000:7003")
    neighbours.comes(2, Neighbour(22, "7004:7005,7008:7008"))
    neighbours.comes(3, Neighbour(33))
    assert neighbours.arguments() == [
        "--beside",
        "11,22,33",
        "--taken",
        "7000:7003,7004:7005,7008:7008",
    ]


def test_the_uids_of_one_that_has_ended_are_free() -> None:
    neighbours = Neighbours()
    neighbours.comes(1, Neighbour(11, "7000:7003"))
    assert neighbours.goes(1)
    assert not neighbours.goes(1)
    neighbours.takes(1, "7000:7003")  # what was still in its pipe
    assert neighbours.arguments() == []


def test_of_other_roles_there_is_nothing_to_tell() -> None:
    neighbours = Neighbours()
    assert not neighbours.goes(5)
    assert neighbours.of(5) == Neighbour(0)
