"""What a reply must be, byte by byte, and what a request uploads.

Every line of a reply names the request, the script with its generation and release,
the run, and the digest of what was uploaded; the last field counts the lines. So bytes
of another request, run or generation are seen wherever they are, and missing ones too.
"""

import hashlib
import random
from dataclasses import dataclass

from tests.chaos.record import Order


@dataclass(frozen=True, slots=True)
class Origin:
    """What a reply says of where it comes from."""

    generation: int
    release: int
    mark: str


class WrongBodyError(Exception):
    """Bytes that the request cannot be answered with; the message says how."""


class ShortBodyError(Exception):
    """The beginning of what was to come, and no more."""


def upload(order: Order) -> bytes:
    """Return what a request sends."""
    return random.Random(f"upload {order.id}").randbytes(order.upload_bytes)


def digest(order: Order) -> str:
    """Return what the script makes of what was sent."""
    if order.method != "POST":
        return "-"
    return hashlib.md5(upload(order), usedforsecurity=False).hexdigest()


def expected(order: Order, origin: Origin) -> bytes:
    """Return the reply."""
    start = (
        f"{order.id} {order.script} {origin.generation} {origin.release} "
        f"{origin.mark} {digest(order)} "
    )
    return "".join([f"{start}{n:06d}\n" for n in range(1, order.lines + 1)]).encode()


def check(order: Order, body: bytes) -> Origin:
    """Return the origin of a whole reply. Raise WrongBodyError, ShortBodyError."""
    if not body:
        raise ShortBodyError("no bytes")
    first, end, _ = body.partition(b"\n")
    words = first.decode("latin-1").split(" ")
    if not end and order.id.encode().startswith(first[: len(order.id)]):
        raise ShortBodyError(f"{len(body)} bytes, less than a line")
    if len(words) != 7 or not (words[2] + words[3]).isdigit():
        raise WrongBodyError(f"it begins with {first[:120]!r}")
    origin = Origin(int(words[2]), int(words[3]), words[4])
    whole = expected(order, origin)
    if body == whole:
        return origin
    if whole.startswith(body):
        raise ShortBodyError(f"{len(body)} of {len(whole)} bytes")
    raise WrongBodyError(_difference(body, whole))


def _difference(body: bytes, whole: bytes) -> str:
    got, wanted = body.splitlines(), whole.splitlines()
    pairs = zip(got, wanted, strict=False)
    at = next((n for n, (one, other) in enumerate(pairs) if one != other), None)
    if at is None:
        return f"{len(body)} bytes instead of {len(whole)}"
    return (
        f"line {at + 1} of {len(got)} (of {len(wanted)}) is {got[at][:120]!r} "
        f"instead of {wanted[at][:120]!r}"
    )
