"""A set that mostly has one member, and is no table then: that would be 200 bytes."""

from typing import Generic, TypeVar

_Member = TypeVar("_Member")


class Few(Generic[_Member]):
    """Members in the order in which they came."""

    __slots__ = ("_all", "_one")

    def __init__(self) -> None:
        """Begin without any."""
        self._one: _Member | None = None
        #: when there were ever two, all of them
        self._all: dict[_Member, None] | None = None

    def __len__(self) -> int:
        """Return the number of members."""
        if self._all is not None:
            return len(self._all)
        return 0 if self._one is None else 1

    def __contains__(self, member: object) -> bool:
        """Say whether this is a member."""
        return member in self._all if self._all is not None else member == self._one

    def add(self, member: _Member) -> None:
        """Have this member, once."""
        if self._all is not None:
            self._all[member] = None
        elif self._one is None or self._one == member:
            self._one = member
        else:
            self._all = {self._one: None, member: None}
            self._one = None

    def discard(self, member: _Member) -> None:
        """Have this member no more."""
        if self._all is not None:
            self._all.pop(member, None)
        elif self._one == member:
            self._one = None

    def members(self) -> tuple[_Member, ...]:
        """Return all members."""
        if self._all is not None:
            return tuple(self._all)
        return (self._one,) if self._one is not None else ()
