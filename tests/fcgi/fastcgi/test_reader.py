"""Records out of bytes that are cut anywhere."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from fcgi.fastcgi.reader import Reader
from tests.fcgi.fastcgi.wire import rec

Found = tuple[int, int, bytes]

sent = st.lists(
    st.tuples(st.integers(0, 255), st.integers(0, 65535), st.binary(max_size=40)),
    max_size=8,
)


def found(reader: Reader, most: int) -> list[Found]:
    """Return what there is, that many at a time."""
    records: list[Found] = []
    while True:
        for _ in range(most):
            if not reader.next():
                break
            content = reader.data[reader.start : reader.end]
            records.append((reader.kind, reader.id, content))
        else:
            reader.pause()
        reader.check()
        if not reader.has_more:
            return records
        reader.feed(b"", 0.0)


@given(sent, st.sets(st.integers(0, 400)), st.integers(1, 4), st.sampled_from([0, 3]))
def test_every_record_is_found_once_wherever_it_was_cut(
    sent: list[Found], cuts: set[int], most: int, padding: int
) -> None:
    data = b"".join(rec(kind, number, text, padding) for kind, number, text in sent)
    edges = [0, *sorted(at for at in cuts if at < len(data)), len(data)]
    reader = Reader(0.0)
    records: list[Found] = []
    for start, end in pairwise(edges):
        reader.feed(data[start:end], 0.0)
        records += found(reader, most)
    assert records == sent
    assert reader.is_empty()


def test_a_record_is_late_by_when_it_began_to_come() -> None:
    reader = Reader(0.0)
    data = rec(5, 1, b"body")
    for now, piece in ((10.0, data + data[:3]), (20.0, data[3:9]), (25.0, b"")):
        reader.feed(piece, now)
        while reader.next():
            pass
    assert reader.is_late(10.0)
    assert not reader.is_late(9.9)
    reader.feed(data[9:], 30.0)
    assert reader.next()
    assert not reader.next()
    assert not reader.is_late(30.0)


def test_what_is_no_record_is_a_fault_behind_those_that_are() -> None:
    reader = Reader(0.0)
    reader.feed(rec(5, 1, b"body") + b"GET / HTTP/1.1", 0.0)
    assert reader.next()
    assert not reader.next()
    assert reader.fault == "record of version 71; expected 1"


def test_what_is_forgotten_does_not_come_back() -> None:
    reader = Reader(0.0)
    reader.feed(rec(5, 1, b"one") + rec(5, 1, b"two") + b"\1\5", 0.0)
    assert reader.next()
    reader.pause()
    assert reader.has_more
    reader.forget()
    assert reader.is_empty()
    reader.feed(rec(6, 2, b""), 0.0)
    assert found(reader, 9) == [(6, 2, b"")]
