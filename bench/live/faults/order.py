"""What visitors ask for, and what they must get, byte by byte.

Each line of a reply names the request, the generation of the script and of the module
that it is made with, the run, what was uploaded, and the number of the line. So bytes
of another request, run or generation are seen wherever they are, and missing ones too.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

SCRIPT: Final = "page"
MODULE: Final = "part"
SLOW_S: Final = 0.3

_FIELDS: Final = 6  # of a line


@dataclass(frozen=True, slots=True)
class Order:
    """One request."""

    id: str
    method: str
    lines: int
    pieces: int = 1
    wait_s: float = 0.0  # before each piece
    has_length: bool = False
    upload: int = 0  # lines that are sent with it
    pause_s: float = 0.0  # before it
    leaves_s: float | None = None  # how long until the visitor goes away

    def target(self, suffix: str) -> str:
        """Return what is asked for."""
        query = f"id={self.id}&lines={self.lines}&pieces={self.pieces}"
        length = "&length=1" if self.has_length else ""
        return f"/{SCRIPT}.{suffix}?{query}&wait={self.wait_s:.3f}{length}"

    @property
    def body(self) -> bytes:
        """What is sent with it."""
        if self.method != "POST":
            return b""
        return f"{self.id}\n".encode() * (self.upload + 1)

    @property
    def digest(self) -> str:
        """What the script makes of that."""
        body = self.body.decode()
        return f"{len(body)}:{body[-4:-1]}" if body else "-"


class Body(Enum):
    """What the body of a whole reply is."""

    RIGHT = "right"
    SHORT = "silently cut"  # the beginning of what it must be
    MIXED = "of two generations"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a body says of itself."""

    body: Body
    generation: int = 0


def read(order: Order, content: bytes) -> Reply:
    """Judge the body of a reply that came whole."""
    first, end, _ = content.partition(b"\n")
    words = first.decode("latin-1").split(" ")
    if not end:  # less than a line
        start = f"{order.id} ".encode()
        is_start = first.startswith(start) or start.startswith(first)
        return Reply(Body.SHORT if is_start else Body.WRONG)
    if len(words) != _FIELDS or not (words[1] + words[2]).isdigit():
        return Reply(Body.WRONG)
    whole = _lines(order, words[1], words[2], words[3])
    if content != whole:
        return Reply(Body.SHORT if whole.startswith(content) else Body.WRONG)
    is_mixed = words[1] != words[2]
    return Reply(Body.MIXED if is_mixed else Body.RIGHT, int(words[1]))


def _lines(order: Order, generation: str, part: str, run: str) -> bytes:
    start = f"{order.id} {generation} {part} {run} {order.digest} "
    return "".join([f"{start}{n:05d}\n" for n in range(1, order.lines + 1)]).encode()


def orders(seed: str, visitor: int) -> Iterator[Order]:
    """Give what one visitor asks for, without end."""
    drawing = random.Random(f"{seed} visitor {visitor}")
    number = 0
    while True:
        number += 1
        name = f"{visitor:02d}-{number:05d}"
        method = drawing.choice(("GET", "POST"))
        upload, pause_s = drawing.randint(0, 400), drawing.uniform(0.0, 0.06)
        shape = drawing.random()
        if shape < 0.5:
            yield Order(
                name, method, drawing.randint(1, 20), upload=upload, pause_s=pause_s
            )
        elif shape < 0.7:
            yield Order(name, method, 10, wait_s=SLOW_S, pause_s=pause_s)
        else:
            pieces = drawing.randint(4, 10)
            yield Order(
                name,
                method,
                pieces * drawing.randint(20, 200),
                pieces,
                wait_s=drawing.uniform(0.01, 0.05),
                has_length=drawing.random() < 0.5,
                pause_s=pause_s,
            )


def leaving(seed: str, visitor: int) -> Iterator[Order]:
    """Give what one asks for who never waits for the answer."""
    drawing = random.Random(f"{seed} leaves {visitor}")
    number = 0
    while True:
        number += 1
        leaves_s = drawing.uniform(0.1, 0.4)
        name = f"l{visitor}-{number:05d}"
        if drawing.random() < 0.5:
            yield Order(name, "POST", 10, wait_s=3.0, leaves_s=leaves_s)
        else:
            yield Order(name, "GET", 3000, 30, wait_s=0.1, leaves_s=leaves_s)
