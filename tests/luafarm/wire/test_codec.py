"""Messages to bytes and back; hostile bytes raise ProtocolError and nothing else."""

import contextlib
from enum import Enum
from types import NoneType
from typing import cast, get_args, get_origin, get_type_hints

import msgpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import fields

from fcgi.dispatch.hosts import MAX_RUNS
from luafarm.ends import Budget
from luafarm.errors import ProtocolError
from luafarm.names import Epoch, HostId, Machine, Pool, Script
from luafarm.wire import codec, messages
from luafarm.wire.messages import (
    PROTOCOL,
    DoneRow,
    Dones,
    Hello,
    Message,
    Outcome,
    Place,
    Role,
    RunRow,
    Runs,
    ScriptError,
    StatusWanted,
    Verdict,
)

KINDS: tuple[type[Message], ...] = get_args(messages.Message)

# what msgpack and the wire can carry
INTEGERS = st.integers(-(2**63), 2**64 - 1)
TEXTS = st.text(st.characters(blacklist_categories=["Cs"]), max_size=20)
BYTES = st.binary(max_size=20)


def field_values(hint: object) -> st.SearchStrategy[object]:
    """Return values of a field's type."""
    hint = getattr(hint, "__supertype__", hint)
    if get_origin(hint) is tuple:
        items = get_args(hint)
        if len(items) == 2 and items[1] is Ellipsis:
            return st.lists(field_values(items[0]), max_size=3).map(tuple)
        return st.tuples(*[field_values(item) for item in items])
    if NoneType in get_args(hint):
        return st.one_of([field_values(inner) for inner in get_args(hint)])
    if hint is NoneType:
        return st.none()
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(hint)
    plain: dict[object, st.SearchStrategy[object]]
    plain = {int: INTEGERS, str: TEXTS, bytes: BYTES, bool: st.booleans()}
    if hint in plain:
        return plain[hint]
    return values_of(cast("type", hint))


def values_of(cls: type) -> st.SearchStrategy[object]:
    """Return instances of a message or of a part of one."""
    hints = get_type_hints(cls)
    return st.builds(cls, *[field_values(hints[f.name]) for f in fields(cls)])


RUN_ROWS: st.SearchStrategy[RunRow] = st.tuples(
    INTEGERS, BYTES, INTEGERS, INTEGERS, BYTES, st.none() | BYTES, INTEGERS, INTEGERS
)
DONE_ROWS: st.SearchStrategy[DoneRow] = st.tuples(
    INTEGERS, st.sampled_from(Outcome), BYTES, BYTES, BYTES, BYTES, INTEGERS
)


def of_kind(cls: type[Message]) -> st.SearchStrategy[Message]:
    if cls is Runs:
        return st.lists(RUN_ROWS, max_size=3).map(lambda rows: Runs(tuple(rows)))
    if cls is Dones:
        return st.lists(DONE_ROWS, max_size=3).map(lambda rows: Dones(tuple(rows)))
    return cast("st.SearchStrategy[Message]", values_of(cls))


ANY_MESSAGE = st.one_of([of_kind(cls) for cls in KINDS])

PLAIN = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats() | TEXTS | BYTES,
    lambda inner: (
        st.lists(inner, max_size=8) | st.dictionaries(TEXTS, inner, max_size=3)
    ),
    max_leaves=20,
)


# ---- there and back ----------------------------------------------------------------


@pytest.mark.parametrize("cls", KINDS, ids=lambda cls: cls.__name__)
def test_a_message_that_was_encoded_is_decoded_to_the_same(cls: type[Message]) -> None:
    @settings(max_examples=30)  # for each of the kinds
    @given(of_kind(cls))
    def there_and_back(message: Message) -> None:
        decoded = codec.decode(codec.encode(message))
        assert decoded == message
        assert type(decoded) is cls

    there_and_back()


@given(st.lists(RUN_ROWS))
def test_rows_of_runs_travel_as_the_message_does(rows: list[RunRow]) -> None:
    frame = codec.encode_runs(rows)
    assert frame == codec.encode(Runs(tuple(rows)))
    assert codec.decode(frame) == Runs(tuple(rows))


@given(st.lists(DONE_ROWS))
def test_rows_of_dones_travel_as_the_message_does(rows: list[DoneRow]) -> None:
    frame = codec.encode_dones(rows)
    assert frame == codec.encode(Dones(tuple(rows)))
    assert codec.decode(frame) == Dones(tuple(rows))


@given(values_of(ScriptError))
def test_a_script_error_travels_in_a_row(error: object) -> None:
    assert codec.decode_error(codec.encode_error(cast("ScriptError", error))) == error


def test_enumerations_and_nested_messages_come_back_in_their_types() -> None:
    error = ScriptError("Syntax Error", "m", "t", "f", 3, "3| x", Budget.NONE)
    place = Place(
        b"/x",
        Script(b"/x"),
        Pool("p"),
        Verdict.BROKEN,
        Epoch(7),
        (HostId("a"), HostId("b")),
        30000,
        1 << 20,
        1 << 16,
        0,
        error,
    )
    decoded = codec.decode(codec.encode(place))
    assert isinstance(decoded, Place)
    assert isinstance(decoded.verdict, Verdict)
    assert isinstance(decoded.error, ScriptError)
    assert type(decoded.hosts) is tuple


def test_a_frame_is_what_msgpack_calls_an_array_of_kind_and_fields() -> None:
    """The numbers are the protocol: moving one needs another PROTOCOL."""
    assert msgpack.unpackb(codec.encode(StatusWanted())) == [30]
    hello = Hello(1, Role.FRONT, "n", Machine("m"))
    assert msgpack.unpackb(codec.encode(hello)) == [1, 1, 1, "n", "m", 0, [], ""]


@pytest.mark.parametrize(
    "further", [[], [7, b"x"], [None, [1, 2], "more"], [{"a": {}}, 1.5, False]]
)
def test_the_hello_of_another_version_is_understood(further: list[object]) -> None:
    frame = msgpack.packb([1, PROTOCOL + 1, 1, "n", "m", *further])
    hello = Hello(PROTOCOL + 1, Role.FRONT, "n", Machine("m"))
    assert codec.decode(frame) == hello


# ---- hostile bytes -----------------------------------------------------------------


def survives(frame: bytes) -> None:
    try:
        message = codec.decode(frame)
    except ProtocolError:
        return
    assert isinstance(message, KINDS)


@given(st.binary(max_size=200))
@example(b"")
@example(b"\x90")  # an empty array
@example(b"\xc1")  # never used by msgpack
@example(b"\xdd\xff\xff\xff\xff")  # an array of four thousand million
@example(b"\x92\x04\xdd\xff\xff\xff\xff")  # as many rows
@example(b"\x96\x01\x63\x01\xa1n\xa1m" + b"\x91" * 5000)  # nested, in an odd Hello
@example(b"\x91" * 2000)  # nested deeper than any stack
@example(b"\x91\xd6\xff\x00\x00\x00\x00")  # a timestamp
@example(b"\x92\x01\xa1\xff")  # a string that is no UTF-8
def test_any_bytes_are_a_message_or_a_protocol_error(frame: bytes) -> None:
    survives(frame)


@given(st.lists(PLAIN, max_size=10), st.integers(-1, len(KINDS) + 1))
def test_any_array_is_a_message_or_a_protocol_error(
    content: list[object], kind: int
) -> None:
    survives(msgpack.packb([kind, *content]))
    survives(msgpack.packb(content))


@pytest.mark.parametrize("role", [None, "1", b"1", 1.0, True, [1], 99, -1])
def test_only_a_number_of_the_enumeration_is_one(role: object) -> None:
    """Compiled too, where a value of another type would be a TypeError."""
    hello = Hello(5, Role.FRONT, "f", Machine("m"))
    content = cast("list[object]", msgpack.unpackb(codec.encode(hello)))
    content[content.index(Role.FRONT, 1)] = role
    with pytest.raises(ProtocolError, match="role"):
        codec.decode(msgpack.packb(content))


@given(PLAIN)
def test_any_value_is_a_message_or_a_protocol_error(value: object) -> None:
    survives(msgpack.packb(value))


@given(ANY_MESSAGE, st.data())
def test_a_message_with_one_odd_field_is_refused_or_equal(
    message: Message, data: st.DataObject
) -> None:
    content = cast("list[object]", msgpack.unpackb(codec.encode(message)))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] = data.draw(PLAIN)
    survives(msgpack.packb(content))


@given(ANY_MESSAGE, st.data())
def test_a_message_that_was_cut_or_flipped_is_no_other_error(
    message: Message, data: st.DataObject
) -> None:
    frame = bytearray(codec.encode(message))
    at = data.draw(st.integers(0, len(frame) - 1))
    survives(bytes(frame[:at]))
    frame[at] ^= data.draw(st.integers(1, 255))
    survives(bytes(frame))
    survives(bytes(frame) + b"\0")


@given(st.lists(PLAIN, max_size=9), st.sampled_from([codec.RUNS, codec.DONES]))
def test_an_odd_row_of_a_hot_message_is_refused(row: list[object], kind: int) -> None:
    try:
        message = codec.decode(msgpack.packb([kind, [row]]))
    except ProtocolError:
        return
    assert isinstance(message, Runs | Dones)
    assert len(message.rows) == 1


@given(st.binary(max_size=100))
def test_any_bytes_are_a_script_error_or_a_protocol_error(data: bytes) -> None:
    try:
        error = codec.decode_error(data)
    except ProtocolError:
        return
    assert isinstance(error, ScriptError)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([1, True, 1, "n", "m"], "Hello.protocol: Expected `int`, got `bool`"),
        ([1, 1, 9, "n", "m"], "Hello.role: Invalid enum value 9"),
        ([1, 1, 1, b"n", "m"], "Hello.name: Expected `str`, got `bytes`"),
        ([1, 1, 1, "n"], "Hello: Expected `array` of at least length 5, got 4"),
        ([27, "h", 1, 5], "HostLost: Expected `array` of at least length 7, got 4"),
        (
            [1, PROTOCOL, 1, "n", "m", 0, [], "", 0],
            "Hello: Expected `array` of at most length 7, got 8",
        ),
        (
            [27, "h", 1, [], b"", "boredom", ""],
            "HostLost.reason: Invalid enum value 'boredom'",
        ),
        ([99], "unknown kind of message: Invalid value 99"),
        ([0], "unknown kind of message: Invalid value 0"),
        (["1"], "unknown kind of message: Expected `int`, got `str`"),
        ([codec.RUNS], "Runs: Expected `array` of at least length 2, got 1"),
        ([codec.DONES, [[1]]], "Dones.rows[0]: Expected `array` of length 7, got 1"),
        (
            [codec.INVENTORY, [[b"/x", 1, b"", 0, 0, 0, 0, [[0, b"", 5, b""]]]]],
            "Inventory.states[0].dependencies[0].path: Expected `bytes`, got `int`",
        ),
    ],
)
def test_a_refusal_names_the_message_and_the_field(
    content: list[object], reason: str
) -> None:
    with pytest.raises(ProtocolError) as caught:
        codec.decode(msgpack.packb(content))
    assert str(caught.value) == reason


def test_an_outcome_beyond_the_known_is_refused() -> None:
    row = (1, max(Outcome) + 1, b"", b"", b"", b"", 0)
    with pytest.raises(
        ProtocolError, match=r"Dones.rows\[0\]\[1\]: Expected `int` <= 4"
    ):
        codec.decode(msgpack.packb([codec.DONES, [row]]))


NESTED = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.floats(),
        st.integers(-(2**63), 2**64 - 1),
        st.binary(max_size=300),
        st.text(max_size=80),
        st.just({}),
    ),
    lambda inner: st.lists(inner, max_size=20),
    max_leaves=60,
)


def values(value: object) -> int:
    return 1 + (sum(map(values, value)) if isinstance(value, list) else 0)


@given(NESTED)
def test_the_values_of_a_frame_are_counted_however_nested(value: object) -> None:
    frame = msgpack.packb(value)
    number = values(value)
    assert codec.has_more(frame, number - 1)
    assert not codec.has_more(frame, number)


@pytest.mark.parametrize("size", [0xFF, 0x100, 0xFFFF, 0x10000])
def test_long_values_count_once(size: int) -> None:
    content = [b"\x90" * size, "\x10" * size, [None] * (size // 1000)]
    frame = msgpack.packb(content)
    assert codec.has_more(frame, values(content) - 1)
    assert not codec.has_more(frame, values(content))


@given(st.binary(), st.integers(1, 50))
def test_bytes_that_are_no_message_have_no_more_values_than_bytes(
    data: bytes, most: int
) -> None:
    assert not codec.has_more(data, max(len(data), 1))
    with contextlib.suppress(ProtocolError):
        codec.decode(data, most)
        assert values(msgpack.unpackb(data)) <= most


def test_arrays_full_of_empty_ones_are_refused_unread() -> None:
    frame = msgpack.packb([codec.DONES, [[[]] * 50_000] * 50])
    with pytest.raises(ProtocolError, match="more than 2000000 values"):
        codec.decode(frame)
    with pytest.raises(ProtocolError, match="more than 4096 values"):
        codec.decode(frame, codec.REPLY_VALUES)


def test_the_longest_honest_reply_is_taken() -> None:
    rows = [(2**63 - 1, 0, b"h" * 7168, b"\x90" * 9000, b"", b"", 10**9)] * MAX_RUNS
    frame = codec.encode_dones(rows)
    assert codec.decode(frame, codec.REPLY_VALUES) == Dones(tuple(rows))


def test_the_kind_of_a_frame_is_told_before_it_is_unpacked() -> None:
    assert codec.kind_of(codec.encode(messages.Inventory(()))) == codec.INVENTORY
    assert codec.kind_of(codec.encode_dones([])) == codec.DONES
    for frame in (b"", b"\x91", b"\xdc\x00", b"\x91\xff", b"\xc1\x01"):
        assert codec.kind_of(frame) == 0
