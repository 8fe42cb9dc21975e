"""The settings written out: the commented example file, the manual, the effective ones.

`python -m luafarm.command.manual` rewrites `config/luafarm.toml` and `docs/settings.md`
of the source tree, and nginx's lines in `README.md` and `config/nginx.conf`; a test
fails when they are out of date.
"""

# Impure.

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from luafarm.command import nginx
from luafarm.config.options import SECTIONS, Option, Value, options
from luafarm.config.settings import Settings

EXAMPLE_POOL: Final = "main"
EXAMPLE_ROOT: Final = "/srv/lua"

_WIDTH: Final = 88

_NGINX_FENCE: Final = "```nginx\n"
_NGINX_START: Final = "    upstream luafarm {\n"

_ABOUT: Final = {
    "paths": "Where this machine's processes meet.",
    "front": "The front: FastCGI and HTTP, limits and timeouts of requests.",
    "broker": "The broker: which states there are, and when they are renewed.",
    "vmhost": "The supervisor of the VM hosts of one machine.",
    "pool": "A pool of VM hosts: its scripts, its Lua and what they may use. There is "
    "one table for each pool; its name is yours.",
    "script": "Overrides for some scripts: any number of [[script]] tables, of which "
    "the first with a matching pattern counts.",
    "compat": "What luafcgid's own configuration file sets, under its names.",
    "roles": "The processes that `luafarm up`, and each role by itself, starts.",
    "log": "The log of every process.",
    "security": "Keys for several machines, and the user to become.",
}


_EXAMPLE_INTRODUCTION: Final = """\
# Every setting of luafarm with its default. Sizes may be written as bytes or "8 MiB",
# durations as seconds or "500 ms". Relative paths start from this file's directory.
# Environment variables (LUAFARM_FRONT__MAX_BODY=8MiB, LUAFARM_POOL__MAIN__WALL=5) and
# --set front.max_body=8MiB win over this file. `luafarm config` shows what counts in
# the end, and why.
"""

_MANUAL_INTRODUCTION: Final = """\
# Settings

Made from `luafarm/config/settings.py` by `python -m luafarm.command.manual`; edit it
there.

All commands read one TOML file: `--config FILE`, else `./luafarm.toml`, else
`/etc/luafarm/luafarm.toml`, else none. The environment wins over the file
(`LUAFARM_SECTION__NAME`, for a pool `LUAFARM_POOL__NAME__SETTING`, lists with commas),
`--set section.name=value` over the environment, and a command's own options over all.
`luafarm config` prints what counts, and where it came from.

Sizes are bytes or texts such as `64 KiB`, `8 MiB`, `8m`; durations are seconds or texts
such as `500 ms`, `30 s`, `5 min`. Relative paths start from the directory of the file
that says them, else from the current one. Anything unknown, of the wrong type, out of
range or impossible in combination is refused at the start with one line and exit
code 2. They are read at the start, and again at HUP (deployment.md).
"""


def example() -> str:
    """Return `config/luafarm.toml`: every setting with its default and sentence."""
    result = _EXAMPLE_INTRODUCTION
    for section in SECTIONS:
        lines = ["", *_comment(_ABOUT[section], "## ")]
        # an active [[script]] table would need a pattern
        mark = "#" if section == "script" else ""
        lines.append(mark + _header(section))
        for option in options(section).values():
            lines += _comment(option.text, "# ")
            lines.append(mark + _example_line(option))
        result += "\n".join(lines) + "\n"
    return result


def manual() -> str:
    """Return `docs/settings.md`."""
    result = _MANUAL_INTRODUCTION
    for section in SECTIONS:
        lines = ["", f"## `{_header(section)}`", "", _ABOUT[section], ""]
        lines += ["| setting | default | |", "|---|---|---|"]
        for option in options(section).values():
            default = option.show(option.default)
            shown = f"`{_cell(default)}`" if default else "not set"
            text = _cell(option.text) + _range(option)
            lines.append(f"| `{option.name}` | {shown} | {text} |")
        result += "\n".join(lines) + "\n"
    return result


def with_nginx_block(readme: str) -> str:
    """Return `README.md` with nginx's lines as they are now."""
    before, fence, rest = readme.partition(_NGINX_FENCE)
    return before + fence + nginx.lines(nginx.EXAMPLE) + rest[rest.index("```\n") :]


def with_nginx_lines(file: str) -> str:
    """Return `config/nginx.conf` with nginx's lines as they are now: they end it."""
    before = file[: file.index(_NGINX_START)]
    return before + textwrap.indent(nginx.lines(nginx.EXAMPLE), "    ") + "}\n"


def effective(settings: Settings) -> str:
    """Return settings as a TOML file that says all of them."""
    lines: list[str] = []
    for header, _, rows in tables(settings):
        lines.append(header)
        lines += [f"{option.name} = {shown}" for option, shown in rows if shown]
        lines.append("")
    return "\n".join(lines)


def tables(
    settings: Settings,
) -> Iterator[tuple[str, str, list[tuple[Option, str]]]]:
    """Yield each table: its header, its name in origins, its settings with values."""
    for section in SECTIONS:
        if section == "pool":
            for name, pool in settings.pool.items():
                yield f"[pool.{name}]", f"pool.{name}", _rows(section, pool)
        elif section == "script":
            for number, script in enumerate(settings.script):
                yield "[[script]]", f"script[{number}]", _rows(section, script)
        else:
            yield f"[{section}]", section, _rows(section, getattr(settings, section))


def _rows(section: str, owner: object) -> list[tuple[Option, str]]:
    return [
        (option, option.show(_value(owner, option.name)))
        for option in options(section).values()
    ]


def _value(owner: object, name: str) -> Value:
    value: Value = getattr(owner, name)
    return value


def _header(section: str) -> str:
    if section == "pool":
        return f"[pool.{EXAMPLE_POOL}]"
    return "[[script]]" if section == "script" else f"[{section}]"


def _example_line(option: Option) -> str:
    if option.section == "pool" and option.name == "root":
        return f'root = ["{EXAMPLE_ROOT}"]'
    if option.section == "script" and option.name == "pattern":
        return 'pattern = "admin/*.lua"'
    # a setting of a script that has no default follows its pool
    return f"{option.name} = {option.show(option.default)}".rstrip()


def _comment(text: str, prefix: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=prefix, subsequent_indent="# ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def _range(option: Option) -> str:
    said = []
    if option.choices:
        said.append("One of " + ", ".join([f"`{x}`" for x in option.choices]) + ".")
    if option.least:
        said.append(f"At least {_plain(option, option.least)}.")
    if option.most is not None:
        said.append(f"At most {_plain(option, option.most)}.")
    return "".join([f" {sentence}" for sentence in said])


def _plain(option: Option, limit: float) -> str:
    kind = int if option.kind is int else float
    return option.show(kind(limit)).strip('"')


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    """Rewrite the files of the source tree."""
    home = Path(__file__).resolve().parents[2]
    readme, file = home / "README.md", home / "config" / "nginx.conf"
    for path, text in (
        (home / "config" / "luafarm.toml", example()),
        (home / "docs" / "settings.md", manual()),
        (readme, with_nginx_block(readme.read_text(encoding="utf-8"))),
        (file, with_nginx_lines(file.read_text(encoding="utf-8"))),
    ):
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
