"""FastCGI name-value pairs (FastCGI 1.0, 3.4): read, written, searched.

A length is one byte below 128, or four bytes with the top bit set. Names and values are
bytes without any encoding. A name that comes twice counts with its last value, here as
at the VM host that gets the same bytes: both must see one request.
"""

# Compiled.

from typing import Final

from luafarm.errors import ProtocolError

_LONG: Final = 0x80  # top bit of a first length byte: four bytes follow each other
_LONG_MASK: Final = 0x7FFFFFFF

_SCRIPT_FILENAME: Final = b"SCRIPT_FILENAME"
_REQUEST_METHOD: Final = b"REQUEST_METHOD"
_CONTENT_LENGTH: Final = b"CONTENT_LENGTH"


class PairsError(ProtocolError):
    """The pairs of a request cannot be taken."""


class MalformedPairsError(PairsError):
    """The bytes are not name-value pairs: a length points behind their end."""


class LongPairError(PairsError):
    """A name and its value together are longer than the limit."""


def route(pairs: bytes, max_pair: int) -> tuple[bytes, bytes, bytes]:
    """Return SCRIPT_FILENAME, REQUEST_METHOD and CONTENT_LENGTH, b"" when absent.

    Every pair is checked, in one pass: what passes here decodes. `max_pair` is bytes of
    one name and its value. Raises MalformedPairsError or LongPairError.
    """
    script = method = length = b""
    at = 0
    size = len(pairs)
    try:
        while at < size:
            name = pairs[at]
            value = pairs[at + 1]
            if name < _LONG and value < _LONG:
                at += 2
            else:
                name, value, at = _lengths(pairs, at)
            middle = at + name
            # only the lengths of the three names are worth a slice
            if name == 15:
                if pairs[at:middle] == _SCRIPT_FILENAME:
                    script = pairs[middle : middle + value]
            elif name == 14:
                found = pairs[at:middle]
                if found == _REQUEST_METHOD:
                    method = pairs[middle : middle + value]
                elif found == _CONTENT_LENGTH:
                    length = pairs[middle : middle + value]
            at = middle + value
            if name + value > max_pair and at <= size:
                raise _too_long(name + value, max_pair)
    except IndexError:
        raise _cut(size) from None
    if at != size:
        raise _cut(size)
    return script, method, length


def find(pairs: bytes, wanted: bytes) -> bytes | None:
    """Return the last value of one name, None when there is none.

    For names that few requests need: QUERY_STRING, PATH_TRANSLATED. `pairs` has passed
    `route`. A name that nowhere occurs costs one search in C.
    """
    if pairs.find(wanted) < 0:
        return None
    value: bytes | None = None
    for name, found in decode_pairs(pairs):
        if name == wanted:
            value = found
    return value


def decode_pairs(pairs: bytes) -> list[tuple[bytes, bytes]]:
    """Return all pairs in their order. Raises MalformedPairsError."""
    found, rest = decode_prefix(pairs)
    if rest:
        raise _cut(len(pairs))
    return found


def decode_prefix(pairs: bytes) -> tuple[list[tuple[bytes, bytes]], int]:
    """Return the pairs that are whole, and how many bytes behind them are none."""
    found: list[tuple[bytes, bytes]] = []
    at = 0
    size = len(pairs)
    while at < size:
        try:
            name, value, start = _lengths(pairs, at)
        except IndexError:
            break
        middle = start + name
        end = middle + value
        if end > size:
            break
        found.append((pairs[start:middle], pairs[middle:end]))
        at = end
    return found, size - at


def encode_pairs(pairs: list[tuple[bytes, bytes]]) -> bytes:
    """Return the bytes of pairs, lengths in their short form where they fit."""
    parts: list[bytes] = []
    for name, value in pairs:
        parts += [_length(len(name)), _length(len(value)), name, value]
    return b"".join(parts)


def _lengths(pairs: bytes, at: int) -> tuple[int, int, int]:
    """Return length of name, of value, and where the name starts; IndexError: cut."""
    name = pairs[at]
    if name < _LONG:
        at += 1
    else:
        name = int.from_bytes(pairs[at : at + 4], "big") & _LONG_MASK
        at += 4
    value = pairs[at]
    if value < _LONG:
        return name, value, at + 1
    # four bytes that are not all there: what they say ends behind the end anyway
    return name, int.from_bytes(pairs[at : at + 4], "big") & _LONG_MASK, at + 4


def _length(size: int) -> bytes:
    if size < _LONG:
        return bytes((size,))
    if size > _LONG_MASK:
        raise ValueError(f"name or value of {size} bytes; the limit is {_LONG_MASK}")
    return (size | 0x80000000).to_bytes(4, "big")


def _cut(size: int) -> MalformedPairsError:
    return MalformedPairsError(
        f"name-value pairs of {size} bytes: the last one runs past their end"
    )


def _too_long(length: int, limit: int) -> LongPairError:
    return LongPairError(f"name-value pair of {length} bytes; the limit is {limit}")
