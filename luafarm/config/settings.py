"""Every setting of luafarm: one frozen dataclass a section, one documented field each.

The TOML file has the same shape: `[front]`, `[broker]`, `[vmhost]`, `[pool.NAME]`,
`[[script]]`, `[compat]`, `[roles]`, `[log]`, `[security]`, `[paths]`. `setting(default, text)`
carries the sentence that the manual, `config/luafarm.toml` and error messages use.
Sizes are bytes and durations are seconds; the file may say "8 MiB" and "500 ms".
Reading, checking and merging files, environment and command line: `luafarm.config.configure`.
"""

from dataclasses import dataclass, field
from typing import Final, TypeVar

from luafarm.dialects import Dialect
from luafarm.names import LAYERS

KIB: Final = 1024
MIB: Final = 1024 * 1024
GIB: Final = 1024 * MIB

T = TypeVar("T")


def setting(
    default: T,
    text: str,
    *,
    unit: str = "",
    choices: str = "",
    least: float = 0,
    most: float | None = None,
) -> T:
    """Return a dataclass field that knows its sentence, unit, choices and range.

    unit: "bytes" and "s" let the file use "8 MiB" and "500 ms"; "mode" is an octal
    file mode; "path" and "listener" (a `unix:PATH` among others) are made absolute,
    from the directory of the file that says them. choices: "a|b|c".
    """
    about = {
        "text": text,
        "unit": unit,
        "choices": choices,
        "least": least,
        "most": most,
    }
    return field(default=default, metadata=about)


# One setting a line reads as the table that it is.
# fmt: off


@dataclass(frozen=True, slots=True)
class Paths:
    """[paths]"""

    run: str = setting("", "Directory for sockets, mode 0700; empty: `/run/luafarm` as root, else `$XDG_RUNTIME_DIR/luafarm` or one under the system's temporary directory.", unit="path")


@dataclass(frozen=True, slots=True)
class Front:
    """[front]"""

    listen: tuple[str, ...] = setting((), "FastCGI listeners: `unix:PATH`, `HOST:PORT`, or `fd:N` for a socket handed in (`fd:0` as the FastCGI specification starts applications).", unit="listener")
    listen_mode: int = setting(0o660, "File mode of UNIX listeners, in octal. Whoever may connect can run every script with parameters of his choice.", unit="mode", most=0o777)
    listen_user: str = setting("", "User that UNIX listeners belong to; empty: the one that starts the front. Needs root.")
    listen_group: str = setting("", "Group that UNIX listeners belong to: that of the web server; empty: as root the first that there is of `www-data`, `nginx`, `http` and `apache`, else the group of the one that starts the front.")
    backlog: int = setting(1024, "Connections that the kernel may queue before they are accepted.", least=1)
    http: str = setting("", "`HOST:PORT` of the embedded HTTP listener for development and small sites, or `fd:N`; empty: none.")
    processes: int = setting(0, "Fronts of this machine, which share the listeners; 0: one up to seven processors, then one for each four, at most four.", most=64)
    web_server_addrs: tuple[str, ...] = setting((), "IP addresses from which FastCGI over TCP is accepted, besides those in FCGI_WEB_SERVER_ADDRS; empty: any.")
    max_connections: int = setting(4096, "Open connections of each front. Over the limit none is accepted until one closes; idle ones over HTTP are closed for that.", least=1)
    requests_per_connection: int = setting(256, "Concurrent requests of one multiplexed connection; more are answered 503.", least=1)
    max_params: int = setting(256 * KIB, "Parameters of one request in all; more is answered 431.", unit="bytes", least=KIB, most=16 * MIB)
    max_param: int = setting(128 * KIB, "One parameter's name and value; more is answered 431.", unit="bytes", least=KIB, most=16 * MIB)
    max_body: int = setting(16 * MIB, "Body of a request; more is answered 413.", unit="bytes")
    inline_body: int = setting(64 * KIB, "Bodies up to this size travel with the request; larger ones are spooled to an unlinked temporary file and pulled by the script.", unit="bytes", most=16 * MIB)
    max_reply_header: int = setting(7 * KIB, "Header of a reply; more is answered 502. nginx's fastcgi_buffer_size must hold it.", unit="bytes", least=512, most=16 * MIB)
    reply_memory: int = setting(1 * MIB, "Reply bytes kept in memory for a client that reads slowly; what is over goes to an unlinked temporary file.", unit="bytes", least=64 * KIB)
    spool: int = setting(4 * GIB, "Temporary files of each front in all: replies for clients that read slowly, long bodies; what is over costs the client its connection, or is answered 503.", unit="bytes")
    idle_timeout: float = setting(75.0, "An idle kept connection is closed after this; longer than the web server's own keepalive_timeout.", unit="s", least=0.01)
    receive_timeout: float = setting(60.0, "A request that has begun but not arrived whole is given up after this without progress. Over HTTP its header has this long in all, its body a second more for each KiB.", unit="s", least=0.01)
    send_timeout: float = setting(60.0, "A client that takes no byte of its reply for this long is disconnected.", unit="s", least=0.01)
    queue: int = setting(2048, "Requests that wait in each front; more are answered 503 with Retry-After.", least=1)
    queue_per_script: int = setting(1024, "Requests of one script that wait; more are answered 503 with Retry-After.", least=1)
    queue_target: float = setting(0.25, "Longest wait for a VM host, or as long as three requests of the script take one if that is more: once a queue was longer for half of that time, requests that would wait longer are answered 503 with Retry-After at once. A burst may wait five times as long.", unit="s", least=0.001)
    queue_timeout: float = setting(10.0, "A request that no VM host could be found for within this is answered 503 with Retry-After. Fronts do not see each other: what was sent to a VM host may yet wait there for the one run that each other front has sent as well.", unit="s", least=0.01)
    ping_path: str = setting("", "SCRIPT_NAME that the front answers itself with `pong`; empty: none.")
    status_path: str = setting("", "SCRIPT_NAME that the front answers itself with its status; empty: none.")
    show_errors: bool = setting(True, "Error pages tell the script's error, those of the HTTP listener with source and traceback; off: pages without details, for sites that visitors see.")
    stderr: bool = setting(True, "Errors and log lines of scripts go to FCGI_STDERR as well, so that they show in the web server's log.")


@dataclass(frozen=True, slots=True)
class Broker:
    """[broker]"""

    endpoint: str = setting("", "ZeroMQ endpoint of the broker: `ipc://PATH` or `tcp://HOST:PORT`; empty: `ipc://` in the run directory.")
    states: int = setting(1000, "Lua states in the whole farm.", least=1)
    clones: int = setting(32, "States of one script, on as many VM hosts.", least=1)
    min_clones: int = setting(1, "States of a script that is loaded, which cooling does not take away.")
    settle: float = setting(0.01, "A change of files is acted on once no further one has come for this long; a longer time groups bigger deploys. A flipped symlink, or a script without modules, need not wait for more: a quarter of it.", unit="s", most=10)
    poll: float = setting(1.0, "Files where inotify is silent (network file systems, watch limits) are compared this often.", unit="s", least=0.01)
    last_good: bool = setting(True, "A script whose new content does not load, or is empty, goes on being served in its last good generation; off: the error page is served.")
    heat_half_life: float = setting(60.0, "A script's heat halves in this time; in a farm where states stay long it lasts longer by itself (docs/placement.md).", unit="s", least=0.1)
    state_floor: float = setting(0.0005, "What losing a state costs besides loading it again, as seconds of waiting: the persistent values it held.", unit="s")
    clone_cpu_share: float = setting(0.03, "Share of the farm's CPU that loading clones may take.", most=1)
    missing: int = setting(4096, "Paths without a script that are remembered.")
    file_memory: int = setting(64 * MIB, "Memory of the broker for the files that the scripts of one pool asked for, be they there or not; a script has at most a 32nd of it. Changes of further files count after `luafarm reload`.", unit="bytes", least=MIB)
    max_source: int = setting(4 * MIB, "Size of one script, module or file that a script reads.", unit="bytes", least=1, most=32 * MIB)
    takeover: float = setting(1.0, "A broker that starts listens to the farm for at most this long before it decides.", unit="s")
    quarantine_deaths: int = setting(3, "A script is quarantined when this many VM hosts died under it within `quarantine_window`; 0: never. A death that others may have caused (a signal from outside) counts a quarter, and runs that ended well since the last change of the file excuse deaths: ten runs one from outside, a hundred one by a budget, a thousand a crash.")
    quarantine_window: float = setting(60.0, "See `quarantine_deaths` and `restraint_stops`.", unit="s", least=0.1)
    quarantine: float = setting(30.0, "First quarantine; it doubles with each further one up to `quarantine_max`, and ends when the file changes.", unit="s", least=0.1)
    quarantine_max: float = setting(900.0, "Longest quarantine.", unit="s", least=0.1)
    restraint_stops: int = setting(4, "A script of which this many requests were stopped within `quarantine_window` for their use of CPU, time or memory gets a quarter of its pool's VM hosts, and at least one, until there are fewer; 0: never.")


@dataclass(frozen=True, slots=True)
class Vmhost:
    """[vmhost]"""

    machine: str = setting("", "Name of this machine in the farm; empty: the host name.")
    endpoint: str = setting("", "Where VM hosts listen: empty for `ipc://` in the run directory, or `tcp://HOST:*` with an address that fronts and broker reach.")
    uid_range: str = setting("", "`FIRST-LAST`: VM hosts started by root each take a uid of their own from it; empty: 61184-65519 as root.")
    start_timeout: float = setting(10.0, "A VM host that is not ready by then is killed and started again.", unit="s", least=0.1)
    grace: float = setting(0.5, "A running request that is this much over its wall-clock budget costs its VM host a SIGKILL, and after four fifths of it a timer in the host itself. Both are for what Lua cannot stop, or for a machine too busy to stop it in time.", unit="s", least=0.01)
    stop_timeout: float = setting(10.0, "How long running requests may take when the farm stops.", unit="s")
    spawn_max: float = setting(10.0, "Longest pause between starts of VM hosts that keep dying at the start; pauses double up to it.", unit="s", least=0.01)


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """[pool.NAME]"""

    root: tuple[str, ...] = setting((), "Directories whose scripts this pool serves; nothing outside them is ever read for it, except `library`.", unit="path")
    scripts: tuple[str, ...] = setting(("*.lua",), "Shell patterns of the file names that are scripts, as they are spelled; no other file below a root is ever run by a request, nor any behind a name that begins with a dot.")
    library: tuple[str, ...] = setting((), "Further directories where `require` looks for modules, after the script's own directory and its root.", unit="path")
    dialect: str = setting("luajit21", "Lua dialect.", choices="|".join(Dialect))
    jit: bool = setting(False, "The just-in-time compiler of LuaJIT; trusted pools only.")
    trust: str = setting("sandboxed", "`sandboxed` for code that nobody reviewed; `trusted` has the full libraries, C modules and no system call filter.", choices="sandboxed|trusted")
    hosts: int = setting(0, "VM hosts of this pool on each machine; 0: two per processor, at least four, shared between the pools; at least three for each.", most=1024)
    cpath: str = setting("", "Where C modules are looked for, as in `package.cpath`, where `?` stands for the name; empty: in the system's directories for the dialect's version of Lua. In a sandboxed pool only for `c_modules`.")
    c_modules: tuple[str, ...] = setting((), "C modules, such as `lpeg` and `cjson`, that scripts may `require` in a sandboxed pool too; they are opened before the VM host is confined. Their C code runs inside the sandbox's process, where no budget of a state stops it (docs/sandbox.md).")
    writers: tuple[str, ...] = setting((), "Users, and `@GROUP`s, who may write what a trusted pool runs (its scripts, `library`, `cpath`), besides root and the user that its VM hosts run as; what others may write is refused.")
    require_layers: tuple[str, ...] = setting((), "Layers of the sandbox without which a VM host of this pool refuses to serve; every sandboxed pool requires `no_new_privs` and `seccomp` besides.", choices="|".join(LAYERS))
    states: int = setting(0, "Lua states of this pool, so that it cannot take those of others; 0: no limit but `[broker] states`.")
    memory: int = setting(32 * MIB, "Memory of one state.", unit="bytes", least=MIB, most=64 * GIB)
    host_memory: int = setting(1024 * MIB, "Address space of one VM host beyond its own needs.", unit="bytes", least=64 * MIB)
    cpu: float = setting(10.0, "CPU time of one request.", unit="s", least=0.001, most=86400)
    wall: float = setting(30.0, "Time of one request from its start; longer is answered 504.", unit="s", least=0.001, most=86400)
    load_cpu: float = setting(5.0, "CPU time of loading a script.", unit="s", least=0.001, most=86400)
    load_wall: float = setting(10.0, "Time of loading a script.", unit="s", least=0.001, most=86400)
    reply: int = setting(64 * MIB, "Reply of one request.", unit="bytes")
    log_lines: int = setting(200, "Log lines of one request; further ones are counted, not kept.")
    log_bytes: int = setting(32 * KIB, "Log text of one request.", unit="bytes", most=16 * MIB)
    log_rate: int = setting(64 * KIB, "Log text of the whole pool that each front and the broker write in a second, and ten times as much at once; further lines are counted, not written.", unit="bytes", least=KIB)
    state_requests: int = setting(0, "A state is renewed after this many requests; 0: never.")
    state_age: float = setting(0.0, "A state is renewed at this age; 0: never.", unit="s")
    host_requests: int = setting(0, "A VM host is replaced after this many requests; 0: never.")
    host_age: float = setting(0.0, "A VM host is replaced at this age, one at a time; 0: never.", unit="s")
    preload: tuple[str, ...] = setting((), "Patterns of scripts, relative to a root, that are loaded when the farm starts, as soon as there are VM hosts; a request that comes before waits for the load.")


@dataclass(frozen=True, slots=True)
class ScriptSettings:
    """[[script]]: overrides for scripts whose path matches `pattern`; the first wins."""

    pattern: str = setting("", "Shell pattern, matched against the path relative to its root (`admin/*.lua`).")
    state: str = setting("persistent", "`fresh`: a new state for every request.", choices="persistent|fresh")
    clones: int | None = setting(None, "States of this script, instead of `[broker] clones`.", least=1)
    min_clones: int | None = setting(None, "As `[broker] min_clones`.")
    memory: int | None = setting(None, "As in the pool.", unit="bytes", least=MIB, most=64 * GIB)
    cpu: float | None = setting(None, "As in the pool.", unit="s", least=0.001, most=86400)
    wall: float | None = setting(None, "As in the pool.", unit="s", least=0.001, most=86400)
    load_cpu: float | None = setting(None, "As in the pool.", unit="s", least=0.001, most=86400)
    load_wall: float | None = setting(None, "As in the pool.", unit="s", least=0.001, most=86400)
    reply: int | None = setting(None, "As in the pool.", unit="bytes")
    log_lines: int | None = setting(None, "As in the pool.")
    log_bytes: int | None = setting(None, "As in the pool.", unit="bytes", most=16 * MIB)


@dataclass(frozen=True, slots=True)
class Compat:
    """[compat]: luafcgid's options under their old names."""

    handler: str = setting("main", "Global function that serves a request.")
    httpstatus: str = setting("200 OK", "Status of a reply that sets none.")
    contenttype: str = setting("text/html", "Content-Type of a reply that sets none.")
    headers: str = setting("X-Powered-By: Lua\r\n", "Raw header lines of every reply.")
    buffering: bool = setting(True, "Collect the reply until the handler returns or flushes; off: `puts` sends at once.")


@dataclass(frozen=True, slots=True)
class Roles:
    """[roles]"""

    watchdog: float = setting(3.0, "A broker, supervisor or front whose loop has stood still for this long is killed by its parent and started again, at least 2 s; 0: never. Under systemd, `WatchdogSec=` does the same for the parent.", unit="s", most=3600)


@dataclass(frozen=True, slots=True)
class Log:
    """[log]"""

    level: str = setting("info", "Least important level that is logged.", choices="debug|info|warning|error")
    file: str = setting("", "Log file, reopened on USR1; empty: standard error.", unit="path")


@dataclass(frozen=True, slots=True)
class Security:
    """[security]"""

    keys: str = setting("", "Directory with the keys made by `luafarm keygen`; needed for `tcp://` endpoints beyond loopback.", unit="path")
    user: str = setting("", "User that front and broker change to once they hold their sockets, when started as root; empty: stay.")
    group: str = setting("", "Group for `user`; empty: the user's own.")


@dataclass(frozen=True, slots=True)
class Settings:
    """All of it."""

    paths: Paths = field(default_factory=Paths)
    front: Front = field(default_factory=Front)
    broker: Broker = field(default_factory=Broker)
    vmhost: Vmhost = field(default_factory=Vmhost)
    pool: dict[str, PoolSettings] = field(default_factory=dict)
    script: tuple[ScriptSettings, ...] = ()
    compat: Compat = field(default_factory=Compat)
    roles: Roles = field(default_factory=Roles)
    log: Log = field(default_factory=Log)
    security: Security = field(default_factory=Security)
