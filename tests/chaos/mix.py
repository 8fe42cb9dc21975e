"""What clients ask for: drawn from the seed and the client's number, without end."""

import random
from collections.abc import Callable, Iterator

from tests.chaos.record import Order

LEDGER_POOL = "open"  # trusted: its scripts can write
SANDBOXED_POOL = "closed"
POOLS = (LEDGER_POOL, SANDBOXED_POOL)

_SHAPES: tuple[tuple[str, int], ...] = (  # name and weight; a script for each
    ("quick", 40),
    ("slow", 12),
    ("large", 10),
    ("stream", 20),
    ("upload", 18),
)
SCRIPTS = tuple(f"{name}.lua" for name, _ in _SHAPES)

LEAVING = "leaving.lua"
"""The script that is deleted and comes back; asked for seldom."""


PATIENT = len(POOLS)
"""So many clients, the first ones, ask for what takes longer than a pause that makes
others believe in a death: one in each pool, so that something is always running."""


def orders(seed: int, client: int) -> Iterator[Order]:
    """Give the requests of one client."""
    drawing = random.Random(f"{seed} client {client}")
    names = [name for name, weight in _SHAPES for _ in range(weight)]
    number = 0
    while True:
        number += 1
        request = f"{client:02d}-{number:06d}"
        if client < PATIENT:
            yield _long(drawing, request, POOLS[client])
        else:
            yield _DRAWN[drawing.choice(names)](drawing, request)


def _long(drawing: random.Random, request: str, pool: str) -> Order:
    if drawing.random() < 0.5:
        wait_s = drawing.uniform(3.0, 8.0)
        return Order(request, pool, "slow.lua", "POST", lines=10, wait_s=wait_s)
    pieces = drawing.randint(5, 10)
    return Order(
        request,
        pool,
        "stream.lua",
        drawing.choice(("GET", "POST")),
        lines=pieces * 50,
        pieces=pieces,
        wait_s=drawing.uniform(0.3, 0.8),
        has_length=drawing.random() < 0.7,
        is_raw=drawing.random() < 0.5,
    )


def _quick(drawing: random.Random, request: str) -> Order:
    is_leaving = drawing.random() < 0.15
    return Order(
        request,
        drawing.choice(POOLS),
        LEAVING if is_leaving else "quick.lua",
        method=drawing.choice(("GET", "POST")),
        lines=drawing.randint(1, 20),
        upload_bytes=drawing.randint(0, 100),
        pause_s=drawing.uniform(0.0, 0.1),
    )


def _slow(drawing: random.Random, request: str) -> Order:
    return Order(
        request,
        drawing.choice(POOLS),
        "slow.lua",
        method=drawing.choice(("GET", "POST")),
        lines=drawing.randint(1, 20),
        wait_s=drawing.uniform(0.0, 0.3),
    )


def _large(drawing: random.Random, request: str) -> Order:
    return Order(
        request,
        drawing.choice(POOLS),
        "large.lua",
        method=drawing.choice(("GET", "GET", "POST")),
        lines=drawing.randint(1000, 20000),
        is_raw=drawing.random() < 0.3,
        reads_slowly=drawing.random() < 0.1,
        leaves=drawing.random() < 0.1,
        pause_s=drawing.uniform(0.0, 0.2),
    )


def _stream(drawing: random.Random, request: str) -> Order:
    pieces = drawing.randint(2, 12)
    return Order(
        request,
        drawing.choice(POOLS),
        "stream.lua",
        method=drawing.choice(("GET", "GET", "POST")),
        lines=pieces * drawing.randint(1, 200),
        pieces=pieces,
        wait_s=drawing.uniform(0.0, 0.1),
        has_length=drawing.random() < 0.5,
        is_raw=drawing.random() < 0.6,
        leaves=drawing.random() < 0.05,
    )


def _upload(drawing: random.Random, request: str) -> Order:
    return Order(
        request,
        drawing.choice(POOLS),
        "upload.lua",
        method="POST",
        lines=drawing.randint(1, 50),
        upload_bytes=int(10 ** drawing.uniform(2.0, 6.3)),
        pause_s=drawing.uniform(0.0, 0.1),
    )


_DRAWN: dict[str, Callable[[random.Random, str], Order]] = {
    "quick": _quick,
    "slow": _slow,
    "large": _large,
    "stream": _stream,
    "upload": _upload,
}
