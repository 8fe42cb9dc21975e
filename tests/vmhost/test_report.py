"""Reports of starting hosts."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luafarm.errors import ProtocolError
from vmhost import report
from vmhost.report import LayersTold, ServingTold
from vmhost.sandbox.layers import Layer

layers = st.builds(Layer, st.text(), st.booleans(), st.text())


@given(st.lists(layers, max_size=20), st.lists(st.text(), max_size=3))
def test_what_is_written_is_what_is_read(held: list[Layer], lacking: list[str]) -> None:
    receiver, sender = os.pipe()
    try:
        report.write_sealed(sender, held, lacking)
        report.write_ready(sender)
        sealed, ready, rest = os.read(receiver, 1 << 16).split(b"\n")
    finally:
        os.close(receiver)
        os.close(sender)
    assert report.parse(sealed) == LayersTold(tuple(held), tuple(lacking))
    assert report.parse(ready) == ServingTold()
    assert rest == b""


@given(st.binary(max_size=200))
def test_garbage_is_a_protocol_error_or_means_something(garbage: bytes) -> None:
    try:
        found = report.parse(garbage)
    except ProtocolError:
        return
    assert isinstance(found, LayersTold | ServingTold)


@pytest.mark.parametrize(
    "line",
    [b"", b"1", b"[" * 100_000, b'{"layers": 1}', b'{"layers": [[1]], "lacking": []}'],
)
def test_no_report_is_a_protocol_error(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        report.parse(line)
