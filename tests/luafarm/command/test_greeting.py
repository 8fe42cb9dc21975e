"""What `up` says."""

import pytest

from luafarm.command import greeting, nginx
from luafarm.config.configure import Configuration
from luafarm.config.settings import Front, PoolSettings, Settings
from luafarm.process.sockets import Listening
from tests.luafarm.farms import directory

POOL = {"main": PoolSettings(root=("/srv/lua",))}


def text(*listen: str, http: str = "") -> str:
    return greeting.text(Settings(front=Front(listen=listen, http=http), pool=POOL))


def test_it_says_every_listener() -> None:
    said = text("unix:/no/a.sock", "127.0.0.1:9000", http="[::1]:80")
    assert "  FastCGI   unix:/no/a.sock\n  FastCGI   127.0.0.1:9000\n" in said
    assert "  HTTP      http://[::1]:80/\n" in said


def test_it_says_nginxs_lines_and_nothing_else_of_nginx() -> None:
    settings = Settings(front=Front(listen=("unix:/no/a.sock",)), pool=POOL)
    shown = greeting.text(settings).partition("place of what is there.")[2]
    block = shown[shown.index("    upstream") : shown.index("\nCtrl-C")]
    lines = [line.removeprefix("    ") for line in block.splitlines()]
    assert "\n".join(lines).strip() == nginx.lines(settings).strip()


def test_what_does_not_count_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    line = "[front] listen = [] does not count (from x): --listen says [a]"
    greeting.warn(Configuration(Settings(), {}, None, overruled=(line,)))
    [record] = caplog.records
    assert (record.levelname, record.getMessage()) == ("WARNING", line)


def test_without_a_fastcgi_listener_it_does_not_talk_of_nginx() -> None:
    assert "nginx" not in text(http="127.0.0.1:80")
    assert "nginx" not in text("fd:0")


def test_it_says_who_may_connect() -> None:
    with directory() as place:
        listen = f"unix:{place}/x.sock"
        front = Front(listen=(listen,), listen_mode=0o666)
        listening = Listening(front)
        said = greeting.text(Settings(front=front, pool=POOL))
        assert f"  FastCGI   {listen}\n            anybody may connect" in said
        listening.close()
