"""Sizes, durations and file modes as people write them, and back."""

import re
from decimal import Decimal
from typing import Final

_SIZES: Final = {
    "": 1,
    "b": 1,
    "k": 1 << 10,
    "kib": 1 << 10,
    "kb": 1000,
    "m": 1 << 20,
    "mib": 1 << 20,
    "mb": 1000**2,
    "g": 1 << 30,
    "gib": 1 << 30,
    "gb": 1000**3,
}
_DURATIONS: Final = {
    "us": 1e-6,
    "ms": 1e-3,
    "": 1.0,
    "s": 1.0,
    "min": 60.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}
_QUANTITY: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", re.ASCII)
_MODE: Final = re.compile(r"(?:0o?)?([0-7]{1,4})", re.ASCII)


def parse_size(text: str) -> int:
    """Return the bytes that text such as "8 MiB", "64k" or "300" says, else raise."""
    number, unit = _quantity(text)
    factor = _SIZES.get(unit.lower())
    if factor is None or not (number * factor).is_integer():
        raise ValueError('no size; write bytes or "64 KiB", "8 MiB", "1 GiB"')
    return int(number * factor)


def parse_duration(text: str) -> float:
    """Return the seconds that text such as "500 ms" or "30" says, else raise."""
    number, unit = _quantity(text)
    factor = _DURATIONS.get(unit.lower())
    if factor is None:
        raise ValueError('no duration; write seconds or "500 ms", "30 s", "5 min"')
    # a division by 1000 is exact where a product with 0.001 is not: 20 ms is 0.02
    return number / round(1 / factor) if factor < 1 else number * factor


def parse_mode(text: str) -> int:
    """Return the file mode that octal text such as "0660" says, else raise."""
    match = _MODE.fullmatch(text.strip())
    if match is None:
        raise ValueError('no file mode; write octal digits such as "0660"')
    return int(match[1], 8)


def format_size(size: int) -> str:
    """Return a size in the largest binary unit that holds it exactly."""
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size and size % factor == 0:
            return f"{size // factor} {unit}"
    return str(size)


def format_duration(seconds: float) -> str:
    """Return a duration with its unit, such as "500 ms" or "30 s"."""
    milliseconds = f"{seconds * 1000:g} ms"
    if 0.001 <= seconds < 1 and parse_duration(milliseconds) == seconds:
        return milliseconds
    return f"{plain(seconds)} s"


def plain(number: float) -> str:
    """Return a number in digits, exact and without an exponent."""
    return f"{Decimal(repr(number)):f}".removesuffix(".0")


def _quantity(text: str) -> tuple[float, str]:
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        return 0.0, "?"
    return float(match[1]), match[2]
