"""A set that mostly has one member."""

from hypothesis import given
from hypothesis import strategies as st

from broker.few import Few


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([b"a", b"b", b"c"]))))
def test_few_members_are_a_set(steps: list[tuple[bool, bytes]]) -> None:
    few: Few[bytes] = Few()
    model: dict[bytes, None] = {}
    for is_added, member in steps:
        if is_added:
            few.add(member)
            model[member] = None
        else:
            few.discard(member)
            model.pop(member, None)
        assert few.members() == tuple(model)
        assert (len(few), bool(few)) == (len(model), bool(model))
        assert all((m in few) == (m in model) for m in (b"a", b"b", b"c"))
