"""Messages to bytes and back: msgpack arrays `[kind, field, ...]`, each field checked.

Every message may come from a hostile peer: `decode` accepts exactly the declared types
and counts and raises `ProtocolError` for anything else. The two hot messages have
functions of their own that take and give plain rows.
"""

# Compiled.

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import IntEnum
from types import NoneType, UnionType
from typing import Final, Union, cast, get_args, get_origin, get_type_hints

import msgpack

from luafarm.errors import ProtocolError
from luafarm.wire import messages
from luafarm.wire.messages import DoneRow, Message, RunRow, ScriptError

_KINDS: Final[tuple[type[Message], ...]] = get_args(messages.Message)
_KIND_OF: Final[dict[type, int]] = {cls: i + 1 for i, cls in enumerate(_KINDS)}
RUNS: Final = _KIND_OF[messages.Runs]
DONES: Final = _KIND_OF[messages.Dones]
_HELLO: Final = _KIND_OF[messages.Hello]
_HELLO_FIELDS: Final = 4  # that all versions have
INVENTORY: Final = _KIND_OF[messages.Inventory]

MAX_FRAME: Final = 80 << 20
"""Largest frame that any socket accepts: a reply of the greatest size and its head."""

_MAX_ITEMS: Final = 100_000  # rows of the largest honest array: a snapshot of a farm
_MAX_VALUES: Final = 20 * _MAX_ITEMS  # in a frame, however nested
_ERROR_VALUES: Final = 64  # more than a ScriptError has fields

REPLY_VALUES: Final = 4096
"""Values in a frame of a VM host to a front: as many runs as one may have, and more."""

_RUN_FIELDS: Final = 8
_DONE_FIELDS: Final = 7

_pack: Final = msgpack.Packer().pack
"""One packer for all: to make one costs more than to pack a message."""

Checker = Callable[[object], object]
_CHECKERS: Final[dict[type, list[tuple[str, Checker]]]] = {}


def _scalar(kind: type) -> Checker:
    def check(value: object) -> object:
        # type() and not isinstance(): a bool is no number on the wire
        if type(value) is not kind:
            raise ProtocolError(f"{type(value).__name__} where {kind.__name__} belongs")
        return value

    return check


def _enum(kind: type[IntEnum]) -> Checker:
    def check(value: object) -> object:
        if type(value) is not int:  # compiled, the cast itself is a TypeError
            raise ProtocolError(f"{type(value).__name__} where {kind.__name__} belongs")
        try:
            return kind(value)
        except ValueError:
            raise ProtocolError(f"{value!r} is no {kind.__name__}") from None

    return check


def _sequence(items: tuple[object, ...]) -> Checker:
    if len(items) == 2 and items[1] is Ellipsis:
        item = _checker(items[0])

        def check_all(value: object) -> object:
            if type(value) is not list:
                raise ProtocolError(f"{type(value).__name__} where a list belongs")
            return tuple([item(v) for v in value])

        return check_all
    parts = [_checker(i) for i in items]

    def check_each(value: object) -> object:
        if type(value) is not list or len(value) != len(parts):
            raise ProtocolError(f"no list of {len(parts)} where one belongs")
        return tuple([part(v) for part, v in zip(parts, value, strict=True)])

    return check_each


def _optional(inner: Checker) -> Checker:
    return lambda value: None if value is None else inner(value)


def _checker(hint: object) -> Checker:
    hint = getattr(hint, "__supertype__", hint)  # a NewType stands for its base
    origin = get_origin(hint)
    if origin is tuple:
        return _sequence(get_args(hint))
    if origin in {Union, UnionType}:
        inner = [arg for arg in get_args(hint) if arg is not NoneType]
        return _optional(_checker(inner[0]))
    assert isinstance(hint, type), hint
    if issubclass(hint, IntEnum):
        return _enum(hint)
    if is_dataclass(hint):
        return lambda value: _build(hint, value)
    return _scalar(hint)


def _checkers(cls: type) -> list[tuple[str, Checker]]:
    known = _CHECKERS.get(cls)
    if known is None:
        hints = get_type_hints(cls)
        names = [f.name for f in fields(cls)]
        known = _CHECKERS[cls] = [(name, _checker(hints[name])) for name in names]
    return known


def _build(cls: type, value: object) -> object:
    checkers = _checkers(cls)
    if type(value) is not list or len(value) != len(checkers):
        raise ProtocolError(f"no {cls.__name__} of {len(checkers)} fields")
    arguments: list[object] = []
    for (name, check), field in zip(checkers, value, strict=True):
        try:
            arguments.append(check(field))
        except ProtocolError as error:
            raise ProtocolError(f"{cls.__name__}.{name}: {error}") from None
    return cls(*arguments)


_SCALARS: Final[set[type]] = {bytes, int, str, bool, float, NoneType}
"""Types that travel as they are. `is_dataclass` is slow to say no: it is asked once."""


def _flat(value: object) -> object:
    cls = type(value)
    if cls in _SCALARS:
        return value
    if isinstance(value, tuple):
        return [_flat(item) for item in value]
    if not is_dataclass(cls):
        _SCALARS.add(cls)
        return value
    return [_flat(getattr(value, name)) for name, _ in _checkers(cls)]


_SIZES: Final = (
    (1, b"\x80\xc0\xc2\xc3"),
    (2, b"\xcc\xd0"),
    (3, b"\xc7\xcd\xd1\xdc\xde"),
    (4, b"\xc8"),
    (5, b"\xca\xce\xd2\xdd\xdf"),
    (6, b"\xc9"),
    (9, b"\xcb\xcf\xd3"),
)
_FIXED: Final = {kind: size for size, kinds in _SIZES for kind in kinds}
"""Bytes of a msgpack value by its first one; arrays without what they hold. Maps and
extensions are empty, or the end of what is unpacked."""

_COUNTED: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
"""Bytes of the length of msgpack's bytes and texts by the first one."""


def has_more(frame: bytes, most: int) -> bool:
    """Say whether a frame holds more values than this; look at no more of them.

    An empty array is one byte in a frame and sixty in memory, and takes as long to make
    as any other: what a frame costs is the number of its values, not its size.
    """
    at = 0
    seen = 0
    size = len(frame)
    while at < size:
        if seen == most:
            return True
        seen += 1
        kind = frame[at]
        if kind < 0x80 or kind >= 0xE0 or kind & 0xF0 == 0x90:
            at += 1
        elif kind & 0xE0 == 0xA0:
            at += 1 + (kind & 0x1F)
        elif kind in _COUNTED:
            start = at + 1 + _COUNTED[kind]
            at = start + int.from_bytes(frame[at + 1 : start], "big")
        elif kind in _FIXED:
            at += _FIXED[kind]
        else:
            return False  # whoever unpacks it comes no further either
    return False


def unpack(frame: bytes, most: int = _MAX_VALUES) -> list[object]:
    """Return the array in a frame. Raise ProtocolError when it is anything else.

    most: values that it may hold, in all arrays together.
    """
    if len(frame) > most and has_more(frame, most):
        raise ProtocolError(f"a message of more than {most} values")
    try:
        value = msgpack.unpackb(
            frame,
            raw=False,
            max_ext_len=0,
            max_map_len=0,
            max_array_len=_MAX_ITEMS,
        )
    except Exception as error:  # noqa: BLE001 - msgpack names no common base
        raise ProtocolError(f"no msgpack message: {error}") from None
    if type(value) is not list or not value:
        raise ProtocolError("no message: not an array with a kind")
    return value


def kind_of(frame: bytes) -> int:
    """Return the kind that a frame begins with, before it is unpacked; 0: none."""
    is_short_array = len(frame) > 1 and frame[0] & 0xF0 == 0x90
    return frame[1] if is_short_array and frame[1] < 0x80 else 0


def encode(message: Message) -> bytes:
    """Return the frame of a message."""
    row = [_KIND_OF[type(message)], *cast("list[object]", _flat(message))]
    return cast("bytes", _pack(row))


def decode(frame: bytes, most: int = _MAX_VALUES) -> Message:
    """Return the message in a frame of at most so many values.

    Raise ProtocolError for anything else.
    """
    return build(unpack(frame, most))


def build(value: list[object]) -> Message:
    """Return the message that an unpacked frame holds. Raise ProtocolError."""
    kind = value[0]
    if type(kind) is not int or not 0 < kind <= len(_KINDS):
        raise ProtocolError(f"unknown kind of message {kind!r}")
    if kind == DONES:
        return messages.Dones(tuple(done_rows(value)))
    if kind == RUNS:
        return messages.Runs(tuple(run_rows(value)))
    if kind == _HELLO:
        _fit(value)
    return cast("Message", _build(_KINDS[kind - 1], value[1:]))


def _fit(hello: list[object]) -> None:
    """Make the Hello of another version one of ours, so that it can be answered."""
    is_whole = len(hello) == 1 + len(fields(messages.Hello))
    if not is_whole and len(hello) > 1 and hello[1] != messages.PROTOCOL:
        del hello[1 + _HELLO_FIELDS :]
        hello.append(0)


def encode_runs(rows: list[RunRow]) -> bytes:
    """Return the frame of `Runs`."""
    return cast("bytes", _pack((RUNS, rows)))


def encode_dones(rows: list[DoneRow]) -> bytes:
    """Return the frame of `Dones`."""
    return cast("bytes", _pack((DONES, rows)))


def run_rows(value: list[object]) -> list[RunRow]:
    """Return the rows of unpacked `Runs`. Raise ProtocolError."""
    rows: list[RunRow] = []
    if len(value) != 2 or type(value[1]) is not list:
        raise ProtocolError("Runs: no list of rows")
    for row in value[1]:
        if type(row) is not list or len(row) != _RUN_FIELDS:
            raise ProtocolError(f"Runs: no row of {_RUN_FIELDS} fields")
        request, script, epoch, flags, params, body, body_bytes, data_bytes = row
        if (
            type(request) is not int
            or type(script) is not bytes
            or type(epoch) is not int
            or type(flags) is not int
            or type(params) is not bytes
            or (body is not None and type(body) is not bytes)
            or type(body_bytes) is not int
            or type(data_bytes) is not int
        ):
            raise ProtocolError("Runs: a field of the wrong type")
        rows.append(
            (request, script, epoch, flags, params, body, body_bytes, data_bytes)
        )
    return rows


def done_rows(value: list[object]) -> list[DoneRow]:
    """Return the rows of unpacked `Dones`. Raise ProtocolError."""
    rows: list[DoneRow] = []
    if len(value) != 2 or type(value[1]) is not list:
        raise ProtocolError("Dones: no list of rows")
    for row in value[1]:
        if type(row) is not list or len(row) != _DONE_FIELDS:
            raise ProtocolError(f"Dones: no row of {_DONE_FIELDS} fields")
        request, outcome, head, body, log, error, service_us = row
        if (
            type(request) is not int
            or type(outcome) is not int
            or not 0 <= outcome <= 4
            or type(head) is not bytes
            or type(body) is not bytes
            or type(log) is not bytes
            or type(error) is not bytes
            or type(service_us) is not int
        ):
            raise ProtocolError("Dones: a field of the wrong type")
        rows.append((request, outcome, head, body, log, error, service_us))
    return rows


def encode_error(error: ScriptError) -> bytes:
    """Return a script error as it travels in a row of `Dones`."""
    return cast("bytes", _pack(_flat(error)))


def decode_error(data: bytes) -> ScriptError:
    """Return the script error of a row of `Dones`. Raise ProtocolError."""
    return cast("ScriptError", _build(ScriptError, unpack(data, _ERROR_VALUES)))
