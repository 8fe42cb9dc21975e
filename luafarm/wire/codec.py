"""Messages to bytes and back: msgpack arrays `[kind, field, ...]`, each field checked.

Every message may come from a hostile peer: `decode` accepts exactly the declared types
and raises `ProtocolError` for anything else. msgspec reads msgpack straight into the
declared classes, and stops at the first value that does not belong; with arrays of
Python's own in between, and checks of ours, the same took five times as long.
"""

# Compiled.

import re
from types import NoneType
from typing import Final, get_args, get_origin, get_type_hints

from msgspec import DecodeError, ValidationError
from msgspec.msgpack import Decoder, Encoder

from luafarm.errors import ProtocolError
from luafarm.wire.messages import (
    PROTOCOL,
    DoneRow,
    Dones,
    Hello,
    Inventory,
    Message,
    RunRow,
    Runs,
    ScriptError,
)
from luafarm.wire.messages.greetings import AnyHello
from luafarm.wire.messages.packed import Packed

_KINDS: Final[dict[int, type[Message]]] = {
    cls.__struct_config__.tag: cls for cls in get_args(Message)
}
_KIND_OF: Final[dict[type[Message], int]] = {cls: kind for kind, cls in _KINDS.items()}
RUNS: Final = _KIND_OF[Runs]
DONES: Final = _KIND_OF[Dones]
INVENTORY: Final = _KIND_OF[Inventory]
_HELLO: Final = _KIND_OF[Hello]

MAX_FRAME: Final = 80 << 20
"""Largest frame that any socket accepts: a reply of the greatest size and its head."""

_MAX_VALUES: Final = 2_000_000  # in a frame, however nested: a snapshot of a large farm
_ERROR_VALUES: Final = 64  # more than a ScriptError has fields

REPLY_VALUES: Final = 4096
"""Values in a frame of a VM host to a front: as many runs as one may have, and more."""

_read: Final = Decoder(Message).decode
_read_hello: Final = Decoder(AnyHello).decode
_read_error: Final = Decoder(ScriptError).decode
_write: Final = Encoder().encode

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
            return False  # the decoder stops here as well
    return False


def kind_of(frame: bytes) -> int:
    """Return the kind that a frame begins with, before it is unpacked; 0: none."""
    is_short_array = len(frame) > 1 and frame[0] & 0xF0 == 0x90
    return frame[1] if is_short_array and frame[1] < 0x80 else 0


def encode(message: Message) -> bytes:
    """Return the frame of a message."""
    return _write(message)


def encode_runs(rows: list[RunRow]) -> bytes:
    """Return the frame of `Runs`."""
    return _write((RUNS, rows))


def encode_dones(rows: list[DoneRow]) -> bytes:
    """Return the frame of `Dones`."""
    return _write((DONES, rows))


def encode_error(error: ScriptError) -> bytes:
    """Return a script error as it travels in a row of `Dones`."""
    return _write(error)


def decode(frame: bytes, most: int = _MAX_VALUES) -> Message:
    """Return the message in a frame of at most this many values.

    Raise ProtocolError for anything else.
    """
    if len(frame) > most and has_more(frame, most):
        raise ProtocolError(f"a message of more than {most} values")
    try:
        return _read(frame)
    except (DecodeError, RecursionError) as error:
        kind = kind_of(frame)
        other = _other_hello(frame) if kind == _HELLO else None
        if other is not None:
            return other
        raise _refusal(error, _KINDS.get(kind)) from None


def decode_error(data: bytes) -> ScriptError:
    """Return the script error of a row of `Dones`. Raise ProtocolError."""
    if has_more(data, _ERROR_VALUES):
        raise ProtocolError(f"a script error of more than {_ERROR_VALUES} values")
    try:
        return _read_error(data)
    except (DecodeError, RecursionError) as error:
        raise _refusal(error, ScriptError) from None


def _other_hello(frame: bytes) -> Hello | None:
    """Return the Hello of another version as ours, so that it can be answered."""
    try:
        known = _read_hello(frame)
    except (DecodeError, RecursionError):
        return None
    if known.protocol == PROTOCOL:
        return None
    return Hello(known.protocol, known.role, known.name, known.machine)


def _refusal(error: Exception, cls: type | None) -> ProtocolError:
    """Return what is wrong with a frame, by the names of the fields it lies in."""
    if not isinstance(error, ValidationError):
        return ProtocolError(f"no msgpack message: {error}")
    said, _, path = str(error).partition(" - at `$")
    if cls is None or path == "[0]`":
        return ProtocolError(f"unknown kind of message: {said}")
    steps = [int(step) for step in re.findall(r"\d+", path)]
    return ProtocolError(f"{_named(cls, steps)}: {said}")


def _named(cls: type, steps: list[int]) -> str:
    """Return the name of what lies here: the fields by name, else the place."""
    name = cls.__name__
    hint: object = cls
    for step in steps:
        if isinstance(hint, type) and issubclass(hint, Packed):
            is_tagged = hint.__struct_config__.tag is not None
            field = hint.__struct_fields__[step - is_tagged]
            name += f".{field}"
            hint = get_type_hints(hint)[field]
        else:
            name += f"[{step}]"
            items = get_args(hint)
            hint = items[0] if items[-1] is Ellipsis else items[step]
        choices = [one for one in get_args(hint) if one is not NoneType]
        if get_origin(hint) is not tuple and choices:
            hint = choices[0]
    return name
