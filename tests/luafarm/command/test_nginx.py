"""The lines that nginx needs: what in them follows from the settings."""

from dataclasses import replace

from luafarm.command import nginx
from luafarm.config.settings import Front, PoolSettings, ScriptSettings, Settings

POOL = {"main": PoolSettings(root=("/srv/lua",))}


def lines(*listen: str, **front: float) -> str:
    made = replace(Front(listen=listen or ("unix:/x",)), **front)  # type: ignore[arg-type]
    return nginx.lines(Settings(front=made, pool=POOL))


def test_the_first_listener_with_an_address_counts() -> None:
    assert "server unix:/x;" in lines("fd:0", "unix:/x", "127.0.0.1:9000")
    assert "server 127.0.0.1:9000;" in lines("*:9000")
    assert "server [::1]:9000;" in lines("[::1]:9000")
    assert 'server "unix:/my run/x;y";' in lines("unix:/my run/x;y")
    assert lines("fd:0") == ""


def test_bodies_that_luafarm_takes_pass_and_no_larger_ones() -> None:
    assert "client_max_body_size 16m;" in lines()
    assert "client_max_body_size 5k;" in lines(max_body=5 * 1024)
    assert "client_max_body_size 5001;" in lines(max_body=5001)
    assert "client_max_body_size 1;" in lines(max_body=0)  # 0 would be any size


def test_the_buffer_holds_the_longest_header() -> None:
    assert "fastcgi_buffer_size 16k;" in lines()
    assert "fastcgi_buffers 16 16k;" in lines()
    assert "fastcgi_buffer_size 76k;" in lines(max_reply_header=64 * 1024)
    assert "fastcgi_buffers 16 76k;" in lines(max_reply_header=64 * 1024)


def test_nginx_closes_idle_connections_before_luafarm_does() -> None:
    assert "keepalive_timeout 60s;" in lines()
    assert "keepalive_timeout 8s;" in lines(idle_timeout=10.0)
    assert "keepalive_timeout 1s;" in lines(idle_timeout=0.01)


def test_nginx_waits_longer_than_any_request_may_take() -> None:
    assert "fastcgi_read_timeout 75s;" in lines()
    assert "fastcgi_read_timeout 125s;" in lines(queue_timeout=60.0)
    slow = ScriptSettings(pattern="slow.lua", wall=600.0)
    settings = replace(nginx.EXAMPLE, script=(slow,))
    assert "fastcgi_read_timeout 645s;" in nginx.lines(settings)


def test_scripts_are_what_the_pools_say() -> None:
    pools = {
        "main": PoolSettings(root=("/srv/a",), scripts=("*.html", "*.web.lua")),
        "old": PoolSettings(root=("/srv/b",), scripts=("*.html",)),
    }
    said = nginx.lines(replace(nginx.EXAMPLE, pool=pools))
    scripts = r"location ~ [^/]\.(?:html|web\.lua)(/|$) {"
    assert scripts in said
    assert r"fastcgi_split_path_info ^(.+?\.(?:html|web\.lua))(/.*)?$;" in said
    assert "index index.html index.web.lua;" in said
    assert "rewrite ^(/[^/]+)(/.*)?$ $1.html$2 last;" in said
    # the first location that matches counts: no script is handed out as a file
    assert said.index(scripts) < said.index("location ~* ")
    assert "More names" not in said


def test_a_script_name_that_is_no_ending_is_told() -> None:
    pools = {"main": PoolSettings(root=("/srv/a",), scripts=("page", "x\n;*"))}
    said = nginx.lines(replace(nginx.EXAMPLE, pool=pools))
    assert r"here, and hands out those with an ending below. 'page' 'x\n;*'" in said
    assert r"location ~ [^/]\.lua(/|$) {" in said


def test_several_roots_are_told_apart_by_host_names() -> None:
    pools = {
        "main": PoolSettings(root=("/srv/a", "/srv/b c")),
        "main-2": PoolSettings(root=("/srv/d",)),
    }
    said = nginx.lines(replace(nginx.EXAMPLE, pool=pools))
    assert "root $luafarm_root;" in said
    assert "    default /srv/a;\n" in said
    assert '    ~^main-2\\. "/srv/b c";\n' in said
    assert "    ~^main-2-2\\. /srv/d;\n" in said
