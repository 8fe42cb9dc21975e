"""ZMTP 3.1, the wire of ZeroMQ, with the NULL mechanism: bytes to frames and back.

Where both ends are ours and no key is wanted, luafarm speaks ZeroMQ's protocol itself:
libzmq has a thread of its own write and another one read, and each that sleeps costs a
lone request more than all its work. Either end may as well be libzmq's.

References: https://rfc.zeromq.org/spec/37/ (ZMTP 3.1), https://rfc.zeromq.org/spec/28/.
"""

# Compiled.

from typing import Final

from luafarm.errors import ProtocolError
from luafarm.wire.codec import MAX_FRAME

DEALER: Final = b"DEALER"
ROUTER: Final = b"ROUTER"

_GREETING_BYTES: Final = 64
_MORE: Final = 1
_LONG: Final = 2
_COMMAND: Final = 4
_SHORT_HEAD: Final = 2
_LONG_HEAD: Final = 9
_MAX_SHORT: Final = 255
_MAX_COMMAND: Final = 4096  # a READY with its metadata, a PING with its context

_SIGNATURE: Final = b"\xff" + bytes(8) + b"\x7f"
_NULL: Final = b"NULL".ljust(20, b"\0")
_GREETING: Final = (_SIGNATURE + b"\x03\x01" + _NULL).ljust(_GREETING_BYTES, b"\0")
_PING_TTL_BYTES: Final = 2
_MAX_CONTEXT: Final = 16

MANY: Final = 1 << 20
"""Frames and commands in one call, where nobody else waits to be read."""


def head(size: int) -> bytes:
    """Return what stands before the `size` bytes of a message of one frame."""
    if size <= _MAX_SHORT:
        return bytes((0, size))
    return b"\x02" + size.to_bytes(8, "big")


def _command(name: bytes, body: bytes) -> bytes:
    size = 1 + len(name) + len(body)
    return bytes((_COMMAND, size, len(name))) + name + body


class Session:
    """One end of a connection: what arrives becomes frames.

    A message of several frames is none of ours, and an error: it could go on for ever.
    Nothing is sent here: `opening` goes out first, `answers` whenever it is not empty.
    """

    def __init__(self, own: bytes, other: bytes, max_frame: int = MAX_FRAME) -> None:
        """own, other: the types of the sockets at both ends, `DEALER` and `ROUTER`."""
        self.is_ready = False  # the handshake is over
        self.answers = b""  # to be sent, and emptied
        self.wanted = 0  # bytes that the frame which has begun lacks
        self.has_more = False  # what came is not looked through: call `receive` again
        self.commands = 0  # since the owner looked, after the handshake
        self._own = own
        self._other = other
        self._max_frame = max_frame
        self._is_greeted = False
        self._begun = bytearray()  # the start of what is not complete
        self._least = _GREETING_BYTES  # bytes that it needs to go on
        self._rest = b""  # of what came, when there is more
        self._rest_at = 0  # where it goes on in there

    def opening(self) -> bytes:
        """Return the greeting and READY, which wait for nothing (ZMTP 3.1, NULL)."""
        kind = len(self._own).to_bytes(4, "big") + self._own
        return _GREETING + _command(b"READY", b"\x0bSocket-Type" + kind)

    def receive(self, data: bytes, most: int = MANY) -> list[bytes]:
        """Return the frames that are complete with this. Raise ProtocolError.

        most: frames and commands that are taken; `has_more` tells if others wait, which
        `receive(b"")` takes.
        """
        at = 0
        if self.has_more:
            self.has_more = False
            at = self._rest_at
            data, self._rest = self._rest + data, b""
        elif self._begun or not self._is_greeted:
            begun = self._begun
            begun += data
            if len(begun) < self._least:
                self.wanted = self._least - len(begun)
                return []
            data = bytes(begun)
            self._begun = bytearray()
            if not self._is_greeted:
                self._greet(data)
                at = _GREETING_BYTES
        end = len(data)
        left = most
        frames: list[bytes] = []
        while at < end:
            if not left:
                self.has_more = True
                self._rest, self._rest_at = data, at
                self.wanted = 0
                return frames
            flags = data[at]
            size_at = at + 1
            body_at = at + (_LONG_HEAD if flags & _LONG else _SHORT_HEAD)
            if body_at > end:
                self._least = body_at - at
                break
            size = (
                int.from_bytes(data[size_at:body_at], "big")
                if flags & _LONG
                else data[size_at]
            )
            self._check(flags, size)
            after = body_at + size
            if after > end:
                self._least = after - at
                break
            if flags & ~_LONG == 0 and self.is_ready:
                frames.append(data[body_at:after])
            else:
                self._take(flags, data[body_at:after])
            at = after
            left -= 1
        self.wanted = 0
        if at < end:
            self._begun += data[at:]
            self.wanted = self._least - (end - at)
        return frames

    def _greet(self, data: bytes) -> None:
        if data[0] != _SIGNATURE[0] or data[9] != _SIGNATURE[9]:
            raise ProtocolError("no ZMTP: it does not begin with its signature")
        if data[10] < 3:
            raise ProtocolError(f"ZMTP {data[10]}; 3.0 or newer is needed")
        mechanism = data[12:32]
        if mechanism != _NULL:
            name = mechanism.rstrip(b"\0").decode("ascii", "replace")
            raise ProtocolError(f"mechanism {name!r}; only NULL is spoken here")
        self._is_greeted = True

    def _check(self, flags: int, size: int) -> None:
        """Refuse a frame by its head, before anything of it is kept."""
        if flags & ~(_MORE | _LONG | _COMMAND) or flags & 5 == 5:
            raise ProtocolError(f"a frame with the flags {flags:#04x}")
        if flags & _MORE:
            raise ProtocolError("a message of several frames; each has one here")
        most = _MAX_COMMAND if flags & _COMMAND else self._max_frame
        if size > most:
            raise ProtocolError(f"a frame of {size} bytes; the limit is {most}")

    def _take(self, flags: int, body: bytes) -> None:
        """Take a command, or a message that comes too early."""
        if not flags & _COMMAND:
            raise ProtocolError("a message before READY")
        name_end = 1 + body[0] if body else 0
        if self.is_ready:
            self.commands += 1
        self._command(body[1:name_end], body[name_end:])

    def _command(self, name: bytes, body: bytes) -> None:
        if name == b"READY" and not self.is_ready:
            kind = _properties(body).get(b"socket-type", b"")
            if kind != self._other:
                raise ProtocolError(f"a socket of type {kind!r}, not {self._other!r}")
            self.is_ready = True
        elif name == b"PING" and self.is_ready:
            context = body[_PING_TTL_BYTES:]
            if len(context) > _MAX_CONTEXT:
                size = len(context)
                raise ProtocolError(
                    f"a PING with {size} bytes of context; the limit is {_MAX_CONTEXT}"
                )
            self.answers += _command(b"PONG", context)
        elif name == b"ERROR":
            reason = body[1:].decode("ascii", "replace")
            raise ProtocolError(f"the peer said ERROR: {reason}")
        elif not self.is_ready:
            raise ProtocolError(f"the command {name!r} before READY")


def _properties(body: bytes) -> dict[bytes, bytes]:
    """Return the metadata of READY; names in small letters. Raise ProtocolError."""
    found: dict[bytes, bytes] = {}
    at = 0
    while at < len(body):
        name_end = at + 1 + body[at]
        value_at = name_end + 4
        value_end = value_at + int.from_bytes(body[name_end:value_at], "big")
        if value_at > len(body) or value_end > len(body):
            raise ProtocolError("READY: metadata is cut off")
        found[body[at + 1 : name_end].lower()] = body[value_at:value_end]
        at = value_end
    return found
