"""The settings as a table: what each is called, takes, and defaults to.

Everything here is read from the dataclasses of `luafarm.config.settings`, so that a
setting is declared once and `configure`, `manual` and the command line cannot disagree
about it.
"""

# Impure.

import math
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Final, cast, get_args, get_type_hints

from luafarm.config import settings, units
from luafarm.dialects import REFUSED

Value = str | int | float | bool | tuple[str, ...] | None

SECTIONS: Final[dict[str, type]] = {
    "paths": settings.Paths,
    "front": settings.Front,
    "broker": settings.Broker,
    "vmhost": settings.Vmhost,
    "pool": settings.PoolSettings,
    "script": settings.ScriptSettings,
    "compat": settings.Compat,
    "roles": settings.Roles,
    "log": settings.Log,
    "security": settings.Security,
}
"""The sections in the order of the manual. There are many `pool`s and `script`s."""

_TRUE: Final = frozenset({"true", "yes", "on", "1"})
_FALSE: Final = frozenset({"false", "no", "off", "0"})


@dataclass(frozen=True, slots=True)
class Option:
    """One setting."""

    section: str
    name: str
    kind: type  # str, int, float, bool or tuple (of str)
    default: Value
    text: str
    unit: str
    choices: tuple[str, ...]
    least: float
    most: float | None

    def accept(self, value: object, base: Path) -> Value:
        """Return a value as TOML gave it, checked and in its own type.

        Relative paths start from `base`. Raise ValueError with the reason otherwise.
        """
        if self.kind is bool:
            if type(value) is not bool:
                raise ValueError("true or false belongs here")
            return value
        if self.kind is tuple:
            items = [value] if type(value) is str else value
            if type(items) is not list or not all(type(i) is str for i in items):
                raise ValueError("a list of strings belongs here")
            return tuple([self._text(item, base) for item in cast("list[str]", items)])
        if self.kind is str:
            if type(value) is not str:
                raise ValueError("a string belongs here")
            return self._text(value, base)
        return self._number(value)

    def accept_text(self, text: str, base: Path) -> Value:
        """Return a value as environment and command line give it: always as text.

        Lists are separated by commas, or written as in TOML. Raise ValueError.
        """
        if self.kind is bool:
            if text.lower() not in _TRUE | _FALSE:
                raise ValueError("true or false belongs here")
            return text.lower() in _TRUE
        if self.kind is tuple:
            return self.accept(_items(text), base)
        return self.accept(text, base)

    def show(self, value: Value) -> str:
        """Return a value as it is written in the file."""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, tuple):
            return toml_list(value)
        if value is None:
            return ""
        if isinstance(value, str):
            return _quoted(value)
        if self.unit == "mode":
            return f'"{value:04o}"'
        if self.unit == "bytes":
            text = units.format_size(int(value))
            return text if text.isdigit() else _quoted(text)
        if self.unit == "s" and value:
            return _quoted(units.format_duration(value))
        return units.plain(value) if isinstance(value, float) else str(value)

    def _text(self, text: str, base: Path) -> str:
        if "\0" in text:
            raise ValueError("a NUL byte is not allowed here")
        if self.choices and text not in self.choices:
            why = REFUSED.get(text) if self.name == "dialect" else None
            which = f"one of {', '.join(self.choices)} belongs here"
            raise ValueError(which if why is None else f"{why}; {which}")
        if self.unit == "path" and text:
            return _absolute(text, base)
        if self.unit == "listener" and text.startswith("unix:"):
            return "unix:" + _absolute(text.removeprefix("unix:"), base)
        return text

    def _number(self, value: object) -> int | float:
        number: int | float
        if type(value) is str:
            number = self._read(value)
        elif type(value) is int or (type(value) is float and self.kind is float):
            number = cast("float", value)
        else:
            raise ValueError(f"{_ARTICLE[self.kind]} belongs here")
        if not math.isfinite(number):
            raise ValueError("a finite number belongs here")
        if number < self.least:
            raise ValueError(f"too small; the least is {self._limit(self.least)}")
        if self.most is not None and number > self.most:
            raise ValueError(f"too large; the most is {self._limit(self.most)}")
        return self.kind(number) if self.kind is float else number

    def _read(self, text: str) -> int | float:
        match self.unit:
            case "bytes":
                return units.parse_size(text)
            case "s":
                return units.parse_duration(text)
            case "mode":
                return units.parse_mode(text)
            case _:
                pass
        try:
            return int(text) if self.kind is int else float(text)
        except ValueError:
            raise ValueError(f"{_ARTICLE[self.kind]} belongs here") from None

    def _limit(self, number: float) -> str:
        kind = int if self.kind is int else float
        return self.show(kind(number)).strip('"')


_ARTICLE: Final[dict[type, str]] = {int: "a whole number", float: "a number"}


@cache
def options(section: str) -> dict[str, Option]:
    """Return the settings of a section by name, in the order of the manual."""
    cls = SECTIONS[section]
    hints = get_type_hints(cls)
    table: dict[str, Option] = {}
    for item in fields(cls):
        about = item.metadata
        choices = cast("str", about["choices"])
        table[item.name] = Option(
            section=section,
            name=item.name,
            kind=_kind(hints[item.name]),
            default=cast("Value", item.default),
            text=cast("str", about["text"]),
            unit=cast("str", about["unit"]),
            choices=tuple(choices.split("|")) if choices else (),
            least=cast("float", about["least"]),
            most=cast("float | None", about["most"]),
        )
    return table


def toml_list(items: Iterable[str]) -> str:
    """Return a list of strings as TOML writes it."""
    return "[" + ", ".join([_quoted(item) for item in items]) + "]"


def heading(section: str) -> str:
    """Return a section as messages call it, such as "[front]" or "[[script]] 2"."""
    if section.startswith("script["):
        return f"[[script]] {int(section[7:-1]) + 1}"
    return f"[{section}]"


def _kind(hint: object) -> type:
    if isinstance(hint, type):
        return hint
    inner = [arg for arg in get_args(hint) if arg is not NoneType]
    return inner[0] if NoneType in get_args(hint) else tuple


def _items(text: str) -> object:
    if text.lstrip().startswith("["):
        try:
            return tomllib.loads(f"items = {text}")["items"]
        except tomllib.TOMLDecodeError:
            raise ValueError("a list of strings belongs here") from None
    return [item.strip() for item in text.split(",") if item.strip()]


def _absolute(text: str, base: Path) -> str:
    # not resolved: which symlinks stand in a path is the broker's affair
    try:
        path = base / Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(str(error)) from None
    parts: list[str] = []
    for part in path.parts[1:]:
        if part == "..":
            parts = parts[:-1]
        else:
            parts.append(part)
    return "/" + "/".join(parts)


def _quoted(text: str) -> str:
    out = ['"']
    for char in text:
        if char in '"\\':
            out.append("\\" + char)
        elif char == "\n":
            out.append("\\n")
        elif char == "\r":
            out.append("\\r")
        elif char.isprintable() or "\ud800" <= char <= "\udfff":
            out.append(char)  # a lone surrogate is a byte of a path, and has no escape
        elif ord(char) > 0xFFFF:
            out.append(f"\\U{ord(char):08x}")
        else:
            out.append(f"\\u{ord(char):04x}")
    out.append('"')
    return "".join(out)
