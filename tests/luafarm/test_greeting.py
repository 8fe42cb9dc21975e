"""What `up` says."""

from luafarm import greeting
from luafarm.settings import Front, PoolSettings, Settings

POOL = {"main": PoolSettings(root=("/srv/lua",))}


def text(*listen: str, http: str = "") -> str:
    return greeting.text(Settings(front=Front(listen=listen, http=http), pool=POOL))


def test_it_says_every_listener_and_the_first_for_nginx() -> None:
    said = text("unix:/run/a.sock", "127.0.0.1:9000", http="[::1]:80")
    assert "  FastCGI   unix:/run/a.sock\n  FastCGI   127.0.0.1:9000\n" in said
    assert "  HTTP      http://[::1]:80/\n" in said
    assert "fastcgi_pass unix:/run/a.sock;" in said
    assert "whose root is /srv/lua:" in said


def test_nginx_is_told_an_address_that_it_can_connect_to() -> None:
    assert "fastcgi_pass 127.0.0.1:9000;" in text("*:9000")
    assert "fastcgi_pass [::1]:9000;" in text("[::1]:9000")
    assert "fastcgi_pass unix:/x;" in text("fd:0", "unix:/x")


def test_without_a_fastcgi_listener_it_does_not_talk_of_nginx() -> None:
    assert "nginx" not in text(http="127.0.0.1:80")
    assert "nginx" not in text("fd:0")
