"""Where settings come from: a TOML file, the environment, the command line.

Later ones win: defaults, the file (`--config FILE`, else `./luafarm.toml`, else
`/etc/luafarm/luafarm.toml`, else none), `LUAFARM_SECTION__NAME` in the environment
(`LUAFARM_POOL__NAME__SETTING` for a pool), `--set section.name=value`, the options of
a command. Each value remembers where it came from. Whatever is wrong raises
SettingsError with one line that names the setting, the value and the source.
"""

# Impure.

import argparse
import difflib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NoReturn, TypeVar, cast

from luafarm import output
from luafarm.config import checks, documents
from luafarm.config.documents import Document
from luafarm.config.options import SECTIONS, Option, Value, heading, options
from luafarm.config.settings import (
    PoolSettings,
    ScriptSettings,
    Settings,
)
from luafarm.errors import SettingsError

EXIT_SETTINGS: Final = 2
"""Exit code of a process that cannot start because of its configuration."""

_POOL_NAME: Final = re.compile(r"[a-z][a-z0-9-]*(?:_[a-z0-9-]+)*", re.ASCII)
_POOL_NAME_MAX: Final = 32  # it shows in process titles and status tables
_ENVIRONMENT: Final = "LUAFARM_"
_EXAMPLE: Final = "LUAFARM_FRONT__MAX_BODY or LUAFARM_POOL__MAIN__WALL"
_EMPTY: Final = ""  # in place of a setting's name: the table is there, maybe empty

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Given:
    """One value as somebody gave it."""

    place: tuple[str, ...]  # ("front", "queue"), ("pool", "main", "root")
    value: object
    origin: str
    base: Path  # where relative paths start
    is_text: bool  # from environment or command line, not typed as in TOML


@dataclass(frozen=True, slots=True)
class Configuration:
    """The settings, and where each that is not a default came from."""

    settings: Settings
    origins: Mapping[str, str]  # by "front.queue", "pool.main.root", "script[0].cpu"
    file: Path | None
    given: tuple[Given, ...] = ()  # by the options of a command
    notes: tuple[str, ...] = ()  # lines about files that strangers may write
    overruled: tuple[str, ...] = ()  # lines about what is said and does not count


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the two options that every command takes: --config and --set."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help="configuration file (default: ./luafarm.toml, then "
        "/etc/luafarm/luafarm.toml)",
    )
    parser.add_argument(
        "--set",
        metavar="SECTION.NAME=VALUE",
        dest="sets",
        action="append",
        default=[],
        help="a setting, such as front.max_body=8MiB or pool.main.root=/srv/www; "
        "may be repeated",
    )


def read(argv: Sequence[str]) -> Configuration:
    """Return the configuration that the arguments of a role ask for, or raise."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    arguments = parser.parse_args(argv)
    return load(arguments.config, arguments.sets)


def for_role(argv: Sequence[str]) -> Configuration:
    """Return what a process starts with; end it when that is wrong."""
    try:
        return read(argv)
    except SettingsError as error:
        refuse(error)


def refuse(
    error: SettingsError, configuration: Configuration | None = None
) -> NoReturn:
    """Say what is wrong with the configuration in one line and exit with 2."""
    if configuration is not None:
        error = explained(error, configuration)
    output.say(f"luafarm: configuration: {error}")
    raise SystemExit(EXIT_SETTINGS)


def explained(error: SettingsError, configuration: Configuration) -> SettingsError:
    """Return the error with where its setting came from."""
    if not error.place:
        return error
    origin = configuration.origins.get(error.place, "default")
    return SettingsError(f"{error} (from {origin})")


def load(
    file: Path | None,
    sets: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    given: Sequence[Given] = (),
) -> Configuration:
    """Return the configuration from all its sources; `given` wins over all others."""
    source = documents.look() if file is None else documents.named(file)
    everything = [
        *_from_file(source),
        *_from_environment(os.environ if environment is None else environment),
        *[_from_set(text) for text in sets],
        *given,
    ]
    configuration = _merge(everything, source.file, tuple(given))
    return replace(configuration, notes=source.notes)


def tell(configuration: Configuration) -> None:
    """Tell whoever typed a command of files that strangers may write."""
    for note in configuration.notes:
        output.say(f"luafarm: configuration: {note}")


def command_line(place: str, text: str, option: str) -> Given:
    """Return a value that a command's own option gave, written as for --set."""
    return Given(tuple(place.split(".")), text, option, Path.cwd(), is_text=True)


# ---- sources -----------------------------------------------------------------------


def _from_file(source: Document) -> list[Given]:
    file = source.file
    if file is None:
        return []
    base = file.absolute().parent
    origin = str(file)

    def given(value: object, *place: str) -> Given:
        return Given(place, value, origin, base, is_text=False)

    rows: list[Given] = []
    for section, content in source.content.items():
        _known_section(section, origin)
        if section == "script":
            for number, table in enumerate(_tables(content, origin)):
                rows.append(given(None, "script", str(number), _EMPTY))
                items = table.items()
                rows += [given(v, "script", str(number), name) for name, v in items]
        elif section == "pool":
            for pool, entries in _table(content, "pool", origin).items():
                rows.append(given(None, "pool", pool, _EMPTY))
                items = _table(entries, f"pool.{pool}", origin).items()
                rows += [given(v, "pool", pool, name) for name, v in items]
        else:
            items = _table(content, section, origin).items()
            rows += [given(v, section, name) for name, v in items]
    return rows


def _table(content: object, section: str, origin: str) -> dict[str, object]:
    if not isinstance(content, dict):
        wanted = "[pool.NAME]" if section == "pool" else f"[{section}]"
        raise SettingsError(f"{section}: a table {wanted} belongs here (from {origin})")
    return cast("dict[str, object]", content)


def _tables(content: object, origin: str) -> list[dict[str, object]]:
    if not isinstance(content, list) or not all(isinstance(i, dict) for i in content):
        raise SettingsError(f"script: tables [[script]] belong here (from {origin})")
    return cast("list[dict[str, object]]", content)


def _from_environment(environment: Mapping[str, str]) -> list[Given]:
    rows: list[Given] = []
    for name, text in sorted(environment.items()):
        if not name.startswith(_ENVIRONMENT):
            continue
        place = name.removeprefix(_ENVIRONMENT).lower()
        if "__" in place:
            rows.append(_text(tuple(place.split("__")), text, f"environment {name}"))
        elif _is_meant(place):
            wanted = "two underscores belong between section and name"
            raise SettingsError(f"environment {name}: {wanted}, as in {_EXAMPLE}")
    return rows


def _is_meant(place: str) -> bool:
    """Return whether a variable would be a setting, were it written right."""
    section, _, name = place.partition("_")
    if section == "pool":
        return any(name.endswith(f"_{option}") for option in options(section))
    return section in SECTIONS and name in options(section)


def _from_set(assignment: str) -> Given:
    place, equals, text = assignment.partition("=")
    if not equals:
        raise SettingsError(f"--set {assignment}: write --set section.name=value")
    return _text(tuple(place.strip().split(".")), text, f"--set {place.strip()}")


def _text(place: tuple[str, ...], text: str, origin: str) -> Given:
    _known_section(place[0], origin)
    if place[0] == "script":
        raise SettingsError(
            f"[[script]] tables are only read from a file, not {origin}"
        )
    if len(place) != (3 if place[0] == "pool" else 2):
        wanted = "pool.NAME.SETTING" if place[0] == "pool" else f"{place[0]}.SETTING"
        raise SettingsError(f"{'.'.join(place)}: write {wanted} (from {origin})")
    return Given(place, text, origin, Path.cwd(), is_text=True)


def _known_section(section: str, origin: str) -> None:
    if section not in SECTIONS:
        raise SettingsError(
            f"[{section}]: no such section{_nearest(section, SECTIONS)} (from {origin})"
        )


# ---- merging -----------------------------------------------------------------------


def _merge(
    everything: Sequence[Given], file: Path | None, last: tuple[Given, ...]
) -> Configuration:
    values: dict[str, dict[str, Value]] = {}
    origins: dict[str, str] = {}
    overruled: list[str] = []
    for given in everything:
        *owner, name = given.place
        if owner[0] == "pool":
            _known_pool_name(owner[1], given.origin)
        section = label(owner)
        table = values.setdefault(section, {})
        if name != _EMPTY:
            value = _accept(given, section, name)
            if table.get(name, value) != value:
                option = options(owner[0])[name]
                overruled.append(
                    f"{heading(section)} {name} = {option.show(table[name])} does not "
                    f"count (from {origins[f'{section}.{name}']}): "
                    f"{given.origin} says {option.show(value)}"
                )
            table[name] = value
            origins[f"{section}.{name}"] = given.origin
    settings = Settings(
        **{
            section: _fill(cls(), values.get(section, {}))
            for section, cls in SECTIONS.items()
            if section not in {"pool", "script"}
        },
        pool={
            key.removeprefix("pool."): _fill(PoolSettings(), table)
            for key, table in values.items()
            if key.startswith("pool.")
        },
        script=tuple(
            [
                _fill(ScriptSettings(), table)
                for key, table in values.items()
                if key.startswith("script[")
            ]
        ),
    )
    checks.check(settings, origins)
    return Configuration(settings, origins, file, last, overruled=tuple(overruled))


def label(owner: Sequence[str]) -> str:
    """Return the section of a value as messages and origins call it."""
    if owner[0] == "script":
        return f"script[{owner[1]}]"
    return ".".join(owner)


def _accept(given: Given, section: str, name: str) -> Value:
    known = options(given.place[0])
    option = known.get(name)
    if option is None:
        raise SettingsError(
            f"{heading(section)} {name}: no such setting{_nearest(name, known)} "
            f"(from {given.origin})"
        )
    try:
        if given.is_text:
            return option.accept_text(cast("str", given.value), given.base)
        return option.accept(given.value, given.base)
    except ValueError as error:
        raise SettingsError(
            f"{heading(section)} {name} = {_said(option, given.value)}: {error} "
            f"(from {given.origin})"
        ) from None


def _said(option: Option, value: object) -> str:
    if isinstance(value, str):
        return option.show(value)
    return "true" if value is True else "false" if value is False else repr(value)


def _known_pool_name(name: str, origin: str) -> None:
    if not _POOL_NAME.fullmatch(name) or len(name) > _POOL_NAME_MAX:
        raise SettingsError(
            f"[pool.{name}]: a pool's name is up to {_POOL_NAME_MAX} of a-z, 0-9, "
            f"'-' and single '_', a letter first (from {origin})"
        )


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), 1, 0.5)
    return f"; did you mean {near[0]}?" if near else ""


def _fill(section: T, values: Mapping[str, Value]) -> T:
    return cast("T", replace(cast("PoolSettings", section), **values))  # type: ignore[arg-type]
