import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcgi.fastcgi import records
from tests.fcgi.fastcgi import wire


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (records.record(records.STDOUT, 258), b"\1\6\1\2\0\0\0\0"),
        (records.record(records.STDOUT, 1, b"hi"), b"\1\6\0\1\0\2\6\0hi\0\0\0\0\0\0"),
        (records.end(7, 0, 3), b"\1\3\0\7\0\10\0\0\0\0\0\0\3\0\0\0"),
        (records.end(7, -1, 0), b"\1\3\0\7\0\10\0\0\xff\xff\xff\xff\0\0\0\0"),
        (records.unknown_type(99), b"\1\13\0\0\0\10\0\0\x63\0\0\0\0\0\0\0"),
    ],
)
def test_the_wire_form_is_fixed(made: bytes, expected: bytes) -> None:
    assert made == expected


@given(st.integers(0, 255), st.integers(0, 65535), st.binary(max_size=70000))
def test_a_record_is_read_back_and_sits_on_eight_bytes(
    kind: int, request_id: int, content: bytes
) -> None:
    content = content[: records.MAX_CONTENT]
    data = records.record(kind, request_id, content)
    assert len(data) % 8 == 0
    [got] = wire.all_records(data)
    assert (got.type, got.id, got.content) == (kind, request_id, content)
    assert got.version == 1
    assert got.reserved == 0


@pytest.mark.parametrize("size", [0, 1, 7, 8, 32767, 32768, 32769, 65536, 100_001])
def test_a_stream_is_cut_into_records_of_at_most_32_kib(size: int) -> None:
    data = bytes(i % 251 for i in range(size))
    found = wire.all_records(records.stream(records.STDOUT, 3, data))
    assert b"".join(r.content for r in found) == data
    assert all(0 < len(r.content) <= 32768 for r in found)
    assert all((len(r.content) + r.padding) % 8 == 0 for r in found)


@pytest.mark.parametrize("head_size", [0, 1, 40, 32767])
@pytest.mark.parametrize("total", [1, 32767, 32768, 32769, 65536, 65537, 100_001])
def test_a_whole_answer_has_its_head_in_the_first_record(
    head_size: int, total: int
) -> None:
    head = b"h" * min(head_size, total)
    body = bytes(i % 251 for i in range(total - len(head)))
    *found, empty, end = wire.all_records(records.reply(7, head, body))
    assert b"".join(r.content for r in found) == head + body
    assert found[0].content.startswith(head)
    assert {(r.type, r.id) for r in found} == {(records.STDOUT, 7)}
    assert all(0 < len(r.content) <= 32768 for r in found)
    assert all((len(r.content) + r.padding) % 8 == 0 for r in found)
    assert (empty.type, empty.content, end.type) == (
        records.STDOUT,
        b"",
        records.END_REQUEST,
    )


def test_content_over_the_limit_is_our_bug() -> None:
    with pytest.raises(ValueError, match=r"65536 bytes; the limit is 65535"):
        records.record(records.STDOUT, 1, bytes(65536))
