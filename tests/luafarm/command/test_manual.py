"""The written settings agree with the real ones, and nginx's lines with each other."""

import re
import tomllib
from pathlib import Path

import pytest

from luafarm.command import manual, nginx
from luafarm.config import configure
from luafarm.config.options import SECTIONS, options
from luafarm.config.settings import PoolSettings, Settings

HOME = Path(__file__).parents[3]
EXAMPLE = HOME / "config" / "luafarm.toml"
MANUAL = HOME / "docs" / "settings.md"


def test_the_example_file_is_up_to_date() -> None:
    assert EXAMPLE.read_text() == manual.example()


def test_the_manual_is_up_to_date() -> None:
    assert MANUAL.read_text() == manual.manual()


def test_the_example_file_says_every_setting() -> None:
    document = tomllib.loads(EXAMPLE.read_text())
    for section in SECTIONS:
        if section == "script":
            continue
        table = document[section]
        if section == "pool":
            table = table[manual.EXAMPLE_POOL]
        assert list(table) == list(options(section))


def test_the_example_file_shows_how_to_override_for_scripts() -> None:
    text = EXAMPLE.read_text()
    assert "#[[script]]\n" in text
    for name in options("script"):
        assert f"\n#{name} =" in text


def test_the_example_file_holds_the_defaults() -> None:
    settings = configure.load(EXAMPLE, environment={}).settings
    pool = PoolSettings(root=(manual.EXAMPLE_ROOT,))
    assert settings == Settings(pool={manual.EXAMPLE_POOL: pool})


def test_every_setting_has_a_sentence() -> None:
    for section in SECTIONS:
        for option in options(section).values():
            assert option.text.endswith("."), f"{section}.{option.name}"


def test_the_readme_shows_what_up_prints_for_the_defaults() -> None:
    block = (HOME / "README.md").read_text().split("```nginx\n")[1].split("```")[0]
    assert block == nginx.lines(nginx.EXAMPLE)


def test_the_complete_file_has_the_same_lines() -> None:
    text = (HOME / "config" / "nginx.conf").read_text()
    assert text == manual.with_nginx_lines(text)
    without_indent = re.sub("^    ", "", text, flags=re.MULTILINE)
    assert nginx.lines(nginx.EXAMPLE) in without_indent


@pytest.mark.parametrize("name", ["apache.conf", "lighttpd.conf", "haproxy.cfg"])
def test_all_web_servers_hand_out_the_same_files(name: str) -> None:
    assert nginx.STATIC in (HOME / "config" / name).read_text()
