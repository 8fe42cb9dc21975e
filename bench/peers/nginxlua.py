"""Lua inside nginx (ngx_http_lua): no second process, so the floor of all the rest."""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from bench import nginx, script
from bench.peers.peer import Room, Served

MODULES = ("ndk_http_module.so", "ngx_http_lua_module.so")

LOCATION = """\
            content_by_lua_file $document_root$uri;
"""


@dataclass(frozen=True, slots=True)
class NginxLua:
    """LuaJIT in the workers of nginx, code cache on."""

    name: str = "nginx-lua"
    about: str = "LuaJIT with its compiler inside nginx, content_by_lua_file"
    suffix: str = "lua"

    def missing(self) -> str | None:
        absent = [name for name in MODULES if not (nginx.MODULES / name).exists()]
        return "libnginx-mod-http-lua is not installed" if absent else nginx.missing()

    @contextlib.contextmanager
    def serve(self, room: Room) -> Iterator[Served]:
        root = room.directory / "root"
        shutil.copytree(script.SCRIPTS / "nginx", root)
        with nginx.serving(
            room.directory,
            root,
            LOCATION,
            modules=MODULES,
            workers=room.nginx_workers,
        ) as (web, port):
            yield Served(port, root, web, None)
