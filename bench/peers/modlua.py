"""Apache with mod_lua: Lua in the threads of the web server, without nginx in front."""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import daemon, script
from bench.peers.peer import Room, Served

MODULES = Path("/usr/lib/apache2/modules")

# Two processes of 64 threads that never come or go: the CPU of a process that ended
# would be lost to the count.
CONFIGURATION = """\
ServerRoot {directory}
DefaultRuntimeDir {directory}
PidFile {directory}/apache.pid
ErrorLog {directory}/apache.log
LogLevel warn
ServerName bench.example
Listen 127.0.0.1:{port}
ListenBacklog 4096
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule lua_module {modules}/mod_lua.so
{user}
StartServers 2
ServerLimit 2
ThreadsPerChild 64
MaxRequestWorkers 128
MinSpareThreads 1
MaxSpareThreads 128
MaxConnectionsPerChild 0
AsyncRequestWorkerFactor 16
KeepAlive On
KeepAliveTimeout 60
MaxKeepAliveRequests 0
DocumentRoot {root}
LuaScope {scope}
<Directory {root}>
    Require all granted
    SetHandler lua-script
</Directory>
"""


@dataclass(frozen=True, slots=True)
class ModLua:
    """Apache's event MPM with one scope of Lua states: "once" or "thread"."""

    scope: str
    suffix: str = "lua"

    @property
    def name(self) -> str:
        return f"mod_lua-{self.scope}"

    @property
    def about(self) -> str:
        states = {"once": "a new state per request", "thread": "states kept per thread"}
        return f"inside Apache, event MPM, LuaScope {self.scope}: {states[self.scope]}"

    def missing(self) -> str | None:
        if shutil.which("apache2") and (MODULES / "mod_lua.so").exists():
            return None
        return "apache2 with mod_lua is not installed"

    @contextlib.contextmanager
    def serve(self, room: Room) -> Iterator[Served]:
        root = room.directory / "root"
        shutil.copytree(script.SCRIPTS / "apache", root)
        port = daemon.free_port()
        configuration = room.directory / "apache.conf"
        configuration.write_text(
            CONFIGURATION.format(
                directory=room.directory,
                root=root,
                port=port,
                modules=MODULES,
                scope=self.scope,
                user="User www-data\nGroup www-data" if daemon.IS_ROOT else "",
            )
        )
        command = ["apache2", "-D", "FOREGROUND", "-f", str(configuration)]
        with daemon.running(command, room.directory / "apache.out") as apache:
            apache.wait_until(
                lambda: daemon.accepts(("127.0.0.1", port)), "Apache accepts"
            )
            yield Served(port, root, None, apache)
