import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.fuzz_connection import replay, seeds


@pytest.mark.parametrize("data", seeds(), ids=range(len(seeds())))
def test_the_seeds_of_the_fuzzer_hold(data: bytes) -> None:
    for end in range(len(data) + 1):
        replay(data[:end])


orders = st.tuples(st.integers(0, 255), st.sampled_from(seeds()), st.integers(0, 99))


@given(st.lists(orders, max_size=8))
def test_mixed_seeds_hold(found: list[tuple[int, bytes, int]]) -> None:
    replay(b"".join(bytes([order]) + seed[1 : at + 1] for order, seed, at in found))
