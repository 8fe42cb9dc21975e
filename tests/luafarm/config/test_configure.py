"""Settings from files, environment and command line; what is refused, and how."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luafarm.command import manual
from luafarm.config import configure, documents
from luafarm.config.configure import Configuration
from luafarm.config.options import SECTIONS, Option, Value, options
from luafarm.config.settings import KIB, MIB, PoolSettings, ScriptSettings, Settings
from luafarm.errors import SettingsError


def load(
    tmp_path: Path,
    text: str = "",
    *,
    sets: tuple[str, ...] = (),
    environment: Mapping[str, str] | None = None,
) -> Configuration:
    file = tmp_path / "luafarm.toml"
    file.write_text(text, encoding="utf-8")
    return configure.load(file, sets, environment or {})


def refusal(
    tmp_path: Path,
    text: str = "",
    *,
    sets: tuple[str, ...] = (),
    environment: Mapping[str, str] | None = None,
) -> str:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, text, sets=sets, environment=environment)
    line = str(caught.value)
    assert "\n" not in line
    return line.replace(str(tmp_path), "DIR")


# ---- sources and their order -------------------------------------------------------


def test_an_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    configuration = load(tmp_path)
    assert configuration.settings == Settings()
    assert configuration.origins == {}


def test_values_are_read_in_their_units(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        """
        [front]
        max_body = "8 MiB"
        max_params = 65536
        max_param = "64k"
        listen_mode = "0660"
        send_timeout = "500 ms"
        receive_timeout = 5
        listen = "127.0.0.1:9000"
        show_errors = false
        [broker]
        clone_cpu_share = 1
        """,
    ).settings
    assert settings.front.max_body == 8 * MIB
    assert settings.front.max_param == 64 * KIB
    assert settings.front.listen_mode == 0o660
    assert settings.front.send_timeout == 0.5
    assert type(settings.front.receive_timeout) is float
    assert settings.front.listen == ("127.0.0.1:9000",)
    assert settings.front.show_errors is False
    assert settings.broker.clone_cpu_share == 1.0


def test_pools_and_scripts_keep_their_order(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        """
        [pool.b]
        root = "/srv/b"
        [pool.a]
        [[script]]
        pattern = "x/*"
        cpu = 1
        [[script]]
        pattern = "*"
        state = "fresh"
        """,
    ).settings
    assert list(settings.pool) == ["b", "a"]
    assert settings.pool["a"] == PoolSettings()
    assert settings.script == (
        ScriptSettings(pattern="x/*", cpu=1.0),
        ScriptSettings(pattern="*", state="fresh"),
    )


def test_later_sources_win_and_each_value_knows_its_own(tmp_path: Path) -> None:
    configuration = load(
        tmp_path,
        "[broker]\nstates = 1\nclones = 1\nmissing = 1\npoll = 1",
        environment={
            "LUAFARM_BROKER__CLONES": "2",
            "LUAFARM_BROKER__MISSING": "2",
            "LUAFARM_BROKER__STATES": "2",
        },
        sets=("broker.missing=3", "broker.states=3"),
    )
    assert configuration.settings.broker.missing == 3
    assert configuration.settings.broker.clones == 2
    assert configuration.origins == {
        "broker.states": "--set broker.states",
        "broker.clones": "environment LUAFARM_BROKER__CLONES",
        "broker.missing": "--set broker.missing",
        "broker.poll": str(tmp_path / "luafarm.toml"),
    }


def test_the_option_of_a_command_wins_over_all(tmp_path: Path) -> None:
    given_last = configure.command_line("front.http", "127.0.0.1:2", "--http")
    configuration = configure.load(
        None, ["front.http=127.0.0.1:1"], {}, given=[given_last]
    )
    assert configuration.settings.front.http == "127.0.0.1:2"
    assert configuration.origins == {"front.http": "--http"}


def test_pools_are_set_by_environment_and_command_line(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        environment={"LUAFARM_POOL__SITE_A__ROOT": "/srv/a,/srv/b"},
        sets=("pool.site_a.wall=5 s", 'pool.site_a.library=["/x,y"]'),
    ).settings
    assert settings.pool == {
        "site_a": PoolSettings(root=("/srv/a", "/srv/b"), wall=5.0, library=("/x,y",))
    }


def test_other_variables_of_the_environment_are_left_alone(tmp_path: Path) -> None:
    environment = {
        "LUAFARM_COMPILE": "0",
        "FRONT__QUEUE": "x",
        "LUAFARM_FRONT_PORT": "tcp://10.0.0.1:9000",  # as of a service of this name
    }
    assert load(tmp_path, environment=environment).settings == Settings()


def test_relative_paths_start_at_the_file_that_says_them(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        """
        [paths]
        run = "run"
        [front]
        listen = ["unix:./x/../front.sock"]
        [pool.main]
        root = ["scripts", "/srv/lua"]
        """,
        sets=("log.file=here.log",),
    ).settings
    assert settings.paths.run == str(tmp_path / "run")
    assert settings.front.listen == (f"unix:{tmp_path}/front.sock",)
    assert settings.pool["main"].root == (str(tmp_path / "scripts"), "/srv/lua")
    assert settings.log.file == str(Path.cwd() / "here.log")


def test_a_file_without_an_end_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"^/dev/zero: more than 1048576 bytes$"):
        configure.load(Path("/dev/zero"))


def test_the_file_in_the_current_directory_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "luafarm.toml").write_text("[broker]\nstates = 7\n")
    configuration = configure.load(None, environment={})
    assert configuration.settings.broker.states == 7
    assert configuration.file == Path("luafarm.toml")


def test_a_role_reads_the_configuration_that_its_arguments_name(
    tmp_path: Path,
) -> None:
    file = tmp_path / "other.toml"
    file.write_text("[broker]\nstates = 7\n")
    arguments = [
        "--config",
        str(file),
        "--set",
        "broker.poll=2",
        "--set",
        "log.level=error",
    ]
    settings = configure.read(arguments).settings
    assert settings.broker.states == 7
    assert settings.broker.poll == 2.0
    assert settings.log.level == "error"


def test_a_role_with_a_wrong_configuration_ends_with_2_and_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        configure.for_role(["--set", "front.queue=x"])
    assert caught.value.code == 2
    assert capsys.readouterr().err == (
        'luafarm: configuration: [front] queue = "x": a whole number belongs here '
        "(from --set front.queue)\n"
    )


# ---- what is refused ---------------------------------------------------------------

HERE = "(from DIR/luafarm.toml)"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[fornt]", f"[fornt]: no such section; did you mean front? {HERE}"),
        ("[zzzz]", f"[zzzz]: no such section {HERE}"),
        (
            "[front]\nmax_bdoy = 1",
            f"[front] max_bdoy: no such setting; did you mean max_body? {HERE}",
        ),
        (
            "[pool.main]\nrot = 1",
            f"[pool.main] rot: no such setting; did you mean root? {HERE}",
        ),
        (
            "[[script]]\npattern = '*'\n[[script]]\npatern = '*'",
            f"[[script]] 2 patern: no such setting; did you mean pattern? {HERE}",
        ),
        ("front = 1", f"front: a table [front] belongs here {HERE}"),
        ("pool = 1", f"pool: a table [pool.NAME] belongs here {HERE}"),
        ("[pool]\nroot = '/'", f"pool.root: a table [pool.root] belongs here {HERE}"),
        ("[script]\npattern='*'", f"script: tables [[script]] belong here {HERE}"),
        (
            "[front]\nqueue = true",
            f"[front] queue = true: a whole number belongs here {HERE}",
        ),
        (
            "[front]\nqueue = 1.5",
            f"[front] queue = 1.5: a whole number belongs here {HERE}",
        ),
        (
            "[front]\nqueue = []",
            f"[front] queue = []: a whole number belongs here {HERE}",
        ),
        ("[front]\nqueue = 0", f"[front] queue = 0: too small; the least is 1 {HERE}"),
        (
            "[front]\nmax_body = 'x'",
            '[front] max_body = "x": no size; write bytes or "64 KiB", "8 MiB", '
            f'"1 GiB" {HERE}',
        ),
        (
            "[front]\nmax_param = '1 GiB'",
            f'[front] max_param = "1 GiB": too large; the most is 16 MiB {HERE}',
        ),
        (
            "[front]\nsend_timeout = 'soon'",
            '[front] send_timeout = "soon": no duration; write seconds or "500 ms", '
            f'"30 s", "5 min" {HERE}',
        ),
        (
            "[front]\nsend_timeout = inf",
            f"[front] send_timeout = inf: a finite number belongs here {HERE}",
        ),
        (
            "[front]\nsend_timeout = nan",
            f"[front] send_timeout = nan: a finite number belongs here {HERE}",
        ),
        (
            "[front]\nsend_timeout = 0",
            f"[front] send_timeout = 0: too small; the least is 10 ms {HERE}",
        ),
        (
            "[broker]\nclone_cpu_share = 2",
            f"[broker] clone_cpu_share = 2: too large; the most is 1 {HERE}",
        ),
        (
            "[broker]\nclone_cpu_share = 'much'",
            f'[broker] clone_cpu_share = "much": a number belongs here {HERE}',
        ),
        (
            "[front]\nlisten_mode = '0999'",
            '[front] listen_mode = "0999": no file mode; write octal digits such as '
            f'"0660" {HERE}',
        ),
        (
            "[front]\nshow_errors = 1",
            f"[front] show_errors = 1: true or false belongs here {HERE}",
        ),
        ("[front]\nhttp = 1", f"[front] http = 1: a string belongs here {HERE}"),
        (
            "[front]\nlisten = [1]",
            f"[front] listen = [1]: a list of strings belongs here {HERE}",
        ),
        (
            "[log]\nlevel = 'loud'",
            '[log] level = "loud": one of debug, info, warning, error belongs here '
            f"{HERE}",
        ),
        (
            "[pool.a]\nrequire_layers = ['uid', 'secomp']",
            "[pool.a] require_layers = ['uid', 'secomp']: one of fds, utsns, netns, "
            "ipcns, root, rlimits, capbset, uid, capabilities, no_new_privs, "
            f"undumpable, mdwe, pdeathsig, landlock, seccomp belongs here {HERE}",
        ),
        (
            '[log]\nfile = "a\\u0000b"',
            f'[log] file = "a\\u0000b": a NUL byte is not allowed here {HERE}',
        ),
        (
            "[pool.Main]",
            "[pool.Main]: a pool's name is up to 32 of a-z, 0-9, '-' and single '_', "
            f"a letter first {HERE}",
        ),
    ],
)
def test_a_wrong_file_is_refused_with_the_place_and_the_reason(
    tmp_path: Path, text: str, line: str
) -> None:
    if "nothing" in line:
        text = text.replace("'", '"')
        line = f'[log] file = "a\\u0000b": a NUL byte is not allowed here {HERE}'
    assert refusal(tmp_path, text) == line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "[pool.a]\njit = true",
            "[pool.a] jit = true: not in a sandboxed pool: the compiler needs writable "
            f"executable memory and its loops cannot be stopped {HERE}",
        ),
        (
            "[pool.a]\ndialect = 'luajit20'\ntrust = 'trusted'",
            '[pool.a] dialect = "luajit20": it cannot limit the memory of a state; '
            "one of luajit21, lua51, lua52, lua53, lua54, lua55 belongs here " + HERE,
        ),
        (
            "[pool.a]\ndialect = 'lua51'",
            '[pool.a] dialect = "lua51": not in a sandboxed pool: scripts can crash '
            "PUC Lua 5.1 and write to its memory (CVE-2014-5461, unpack, string "
            "patterns); "
            'luajit21 runs the same language, or say trust = "trusted" ' + HERE,
        ),
        (
            "[pool.a]\ncpath = '/x/?.so'",
            '[pool.a] cpath = "/x/?.so": not in a sandboxed pool without '
            f"c_modules, which name what to load {HERE}",
        ),
        (
            "[pool.a]\nc_modules = ['x']\ncpath = '/x/?.so;/opt/lua/'",
            '[pool.a] cpath = "/x/?.so;/opt/lua/": /opt/lua/ has no ? for the name of '
            f"a module, such as in /opt/lua/?.so {HERE}",
        ),
        (
            "[pool.a]\nc_modules = ['../x']",
            '[pool.a] c_modules = ["../x"]: "../x" is no name of a module, such as '
            f"lpeg or luasql.sqlite3 {HERE}",
        ),
        (
            "[pool.a]\ntrust = 'trusted'\ndialect = 'lua54'\njit = true",
            "[pool.a] jit = true: lua54 has no compiler; only luajit21 has " + HERE,
        ),
        (
            "[pool.a]\ntrust = 'trusted'\nrequire_layers = ['seccomp']",
            '[pool.a] require_layers = ["seccomp"]: a trusted pool is not confined '
            + HERE,
        ),
        (
            "[pool.a]\nmemory = '2 GiB'",
            '[pool.a] host_memory = "1 GiB": less than memory = 2147483648 of one '
            "state (from default)",
        ),
        (
            "[pool.a]\nroot = '/srv'\n[pool.b]\nroot = ['/x', '/srv/b']",
            '[pool.b] root = ["/x", "/srv/b"]: /srv/b overlaps /srv of [pool.a]; a '
            f"script belongs to one pool {HERE}",
        ),
        (
            "[broker]\nstates = 3\nclones = 4",
            "[broker] clones = 4: more than states = 3 allows in the whole farm "
            + HERE,
        ),
        (
            "[broker]\nclones = 4\nmin_clones = 5",
            f"[broker] min_clones = 5: more than clones = 4 {HERE}",
        ),
        (
            "[broker]\nquarantine = 1000",
            '[broker] quarantine = "1000 s": longer than quarantine_max = 900 s '
            + HERE,
        ),
        (
            "[roles]\nwatchdog = 1",
            '[roles] watchdog = "1 s": a loop that turns says so each second: at least '
            "2 s, so that one that is late is not taken for one that hangs, or 0 for "
            f"never {HERE}",
        ),
        (
            "[broker]\nstates = 10\n[[script]]\npattern = '*'\nclones = 11",
            f"[[script]] 1 clones = 11: more than [broker] states = 10 {HERE}",
        ),
        (
            "[[script]]\npattern = '*'\nclones = 2\nmin_clones = 3",
            f"[[script]] 1 min_clones = 3: more than clones = 2 {HERE}",
        ),
        (
            "[[script]]",
            '[[script]] 1 pattern = "": a pattern such as "admin/*.lua" belongs here '
            "(from default)",
        ),
        (
            "[broker]\nendpoint = 'tcp://192.0.2.1:9'",
            '[broker] endpoint = "tcp://192.0.2.1:9": tcp beyond loopback needs '
            "[security] keys: without them anybody who reaches the port runs the farm; "
            f"make them with luafarm keygen {HERE}",
        ),
        (
            "[vmhost]\nendpoint = 'tcp://192.0.2.1:*'",
            '[vmhost] endpoint = "tcp://192.0.2.1:*": tcp beyond loopback needs '
            "[security] keys: without them anybody who reaches the port runs the farm; "
            f"make them with luafarm keygen {HERE}",
        ),
        (
            "[vmhost]\nendpoint = 'tcp://*:*'",
            '[vmhost] endpoint = "tcp://*:*": others connect to it: the address of '
            f"this machine belongs here {HERE}",
        ),
        (
            "[broker]\nendpoint = 'tcp://127.0.0.1:*'",
            '[broker] endpoint = "tcp://127.0.0.1:*": tcp://HOST:PORT belongs here, '
            f"such as tcp://127.0.0.1:7000 {HERE}",
        ),
        (
            "[broker]\nendpoint = 'tcp://10.0.0.1'",
            '[broker] endpoint = "tcp://10.0.0.1": tcp://HOST:PORT belongs here, '
            f"such as tcp://127.0.0.1:7000 {HERE}",
        ),
        (
            "[broker]\nendpoint = 'udp://127.0.0.1:1'",
            '[broker] endpoint = "udp://127.0.0.1:1": ipc://PATH or tcp://HOST:PORT '
            f"belongs here {HERE}",
        ),
        (
            "[vmhost]\nmachine = 'a/b'",
            "[vmhost] machine = \"a/b\": a name of up to 63 letters, digits, '-' and "
            f"'.' belongs here {HERE}",
        ),
        (
            "[vmhost]\nuid_range = '0-9'",
            '[vmhost] uid_range = "0-9": FIRST-LAST belongs here, such as 61184-65519, '
            f"without 0 {HERE}",
        ),
        (
            "[front]\nlisten = ['9000']",
            '[front] listen = ["9000"]: 9000: HOST:PORT belongs here, such as '
            f"127.0.0.1:9000 {HERE}",
        ),
        (
            "[front]\nlisten = ['/run/x.sock']",
            '[front] listen = ["/run/x.sock"]: /run/x.sock: a path has unix: '
            f"before it, unix:/run/x.sock {HERE}",
        ),
        (
            "[front]\nhttp = '/run/x.sock'",
            '[front] http = "/run/x.sock": HOST:PORT belongs here, such as '
            f"127.0.0.1:8080 {HERE}",
        ),
        (
            "[front]\nlisten = ['fd:x']",
            '[front] listen = ["fd:x"]: fd:x: fd:N wants the number of an open file '
            f"descriptor {HERE}",
        ),
        (
            "[front]\nhttp = '127.0.0.1:99999'",
            f'[front] http = "127.0.0.1:99999": port 99999: the most is 65535 {HERE}',
        ),
        (
            "[front]\nweb_server_addrs = ['localhost']",
            '[front] web_server_addrs = ["localhost"]: localhost is no IP address '
            f"{HERE}",
        ),
        (
            "[front]\nqueue_target = 2\nqueue_timeout = 1.5",
            '[front] queue_target = "2 s": nobody waits longer than queue_timeout = '
            f"1.5 s {HERE}",
        ),
        (
            "[front]\nmax_params = '64 KiB'",
            '[front] max_param = "128 KiB": more than max_params = 65536 takes in all '
            "(from default)",
        ),
        (
            "[front]\nping_path = 'ping'",
            '[front] ping_path = "ping": a path that begins with / belongs here '
            + HERE,
        ),
        (
            "[front]\nping_path = '/x'\nstatus_path = '/x'",
            f'[front] ping_path = "/x": the same as status_path {HERE}',
        ),
        (
            "[compat]\nhandler = 'a b'",
            f'[compat] handler = "a b": no name of a function {HERE}',
        ),
        (
            "[compat]\nhttpstatus = 'OK'",
            '[compat] httpstatus = "OK": a status such as "200 OK" belongs here '
            + HERE,
        ),
        (
            '[compat]\ncontenttype = "a\\r\\nb"',
            '[compat] contenttype = "a\\r\\nb": control characters do not belong here '
            + HERE,
        ),
        (
            "[compat]\nheaders = 'nothing'",
            '[compat] headers = "nothing": lines of the form Name: value belong here '
            + HERE,
        ),
        (
            "[security]\ngroup = 'www'",
            '[security] group = "www": a group is only changed to together with a user '
            + HERE,
        ),
    ],
)
def test_an_impossible_combination_is_refused_with_the_reason(
    tmp_path: Path, text: str, line: str
) -> None:
    assert refusal(tmp_path, text) == line


def test_a_long_socket_path_is_refused(tmp_path: Path) -> None:
    text = "[front]\nlisten = ['unix:/" + "x" * 107 + "']"
    line = refusal(tmp_path, text)
    assert "the path has 108 bytes; UNIX sockets take 107" in line


def test_a_small_farm_does_not_need_to_say_a_small_number_of_clones(
    tmp_path: Path,
) -> None:
    assert load(tmp_path, "[broker]\nstates = 3").settings.broker.states == 3


def test_roots_of_one_pool_may_lie_in_each_other(tmp_path: Path) -> None:
    load(tmp_path, "[pool.a]\nroot = ['/srv', '/srv/b']")


def test_tcp_is_allowed_on_loopback_and_with_keys(tmp_path: Path) -> None:
    load(tmp_path, "[broker]\nendpoint = 'tcp://127.0.0.1:9'")
    load(tmp_path, "[broker]\nendpoint = 'tcp://[::1]:9'")
    load(
        tmp_path,
        "[broker]\nendpoint = 'tcp://192.0.2.1:9'\n[security]\nkeys = '/etc/keys'",
    )


@pytest.mark.parametrize(
    ("sets", "line"),
    [
        ("front.queue", "--set front.queue: write --set section.name=value"),
        ("front=1", "front: write front.SETTING (from --set front)"),
        ("a.b.c=1", "[a]: no such section (from --set a.b.c)"),
        ("pool.a=1", "pool.a: write pool.NAME.SETTING (from --set pool.a)"),
        (
            "script.0.cpu=1",
            "[[script]] tables are only read from a file, not --set script.0.cpu",
        ),
        (
            "front.show_errors=maybe",
            '[front] show_errors = "maybe": true or false belongs here '
            "(from --set front.show_errors)",
        ),
        (
            "front.listen=[1",
            '[front] listen = "[1": a list of strings belongs here '
            "(from --set front.listen)",
        ),
    ],
)
def test_a_wrong_assignment_is_refused(tmp_path: Path, sets: str, line: str) -> None:
    assert refusal(tmp_path, sets=(sets,)) == line


def test_a_wrong_variable_is_refused_by_its_name(tmp_path: Path) -> None:
    line = refusal(tmp_path, environment={"LUAFARM_FRONT__QUEUES": "1"})
    assert line == (
        "[front] queues: no such setting; did you mean queue? "
        "(from environment LUAFARM_FRONT__QUEUES)"
    )


@pytest.mark.parametrize("name", ["FRONT_MAX_BODY", "POOL_MAIN_WALL", "PATHS_RUN"])
def test_a_variable_with_single_underscores_is_refused(
    tmp_path: Path, name: str
) -> None:
    line = refusal(tmp_path, environment={f"LUAFARM_{name}": "1"})
    assert line == (
        f"environment LUAFARM_{name}: two underscores belong between section and name, "
        "as in LUAFARM_FRONT__MAX_BODY or LUAFARM_POOL__MAIN__WALL"
    )


def test_a_file_that_is_no_toml_is_refused_with_its_line(tmp_path: Path) -> None:
    assert refusal(tmp_path, "[front\n").startswith("DIR/luafarm.toml: ")
    assert "line 1" in refusal(tmp_path, "[front\n")


def test_a_table_that_is_there_twice_is_refused_in_plain_words(tmp_path: Path) -> None:
    twice = "is there twice; or, if it is not, its ] is missing (at line 2"
    assert refusal(tmp_path, "[pool.main]\n[pool.main]\n").startswith(
        f"DIR/luafarm.toml: [pool.main] {twice}"
    )
    assert refusal(tmp_path, "[front]\n[front\n").startswith(
        f"DIR/luafarm.toml: [front] {twice}"
    )


def test_a_pipe_that_nobody_writes_to_is_refused_by_its_name(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with (
        documents.opened(pipe) as stream,
        pytest.raises(SettingsError, match=f"{pipe}: a pipe whose end has not come"),
    ):
        documents.read(pipe, stream, patience_s=0.0)


def test_a_pipe_of_the_shell_is_read_to_its_end() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"[broker]\nstates = 7\n")
    os.close(writer)
    file = Path(f"/dev/fd/{reader}")
    assert configure.load(file, environment={}).settings.broker.states == 7
    os.close(reader)


def test_who_refuses_a_setting_later_says_where_it_came_from_as_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configuration = configure.load(None, ["security.user=nix"], environment={})
    error = SettingsError('[security] user = "nix": no such user', "security.user")
    with pytest.raises(SystemExit):
        configure.refuse(error, configuration)
    assert capsys.readouterr().err == (
        'luafarm: configuration: [security] user = "nix": no such user '
        "(from --set security.user)\n"
    )


def test_what_does_not_count_is_told_with_what_counts_instead(tmp_path: Path) -> None:
    file = tmp_path / "luafarm.toml"
    file.write_text(
        "[front]\nlisten = '127.0.0.1:1'\nqueue = 7\n[broker]\nstates = 8\n"
    )
    file.chmod(0o644)
    configuration = configure.load(
        file,
        ["broker.states=9"],
        {"LUAFARM_BROKER__STATES": "8", "LUAFARM_FRONT__QUEUE": "7"},
        [configure.command_line("front.listen", "127.0.0.1:2", "--listen")],
    )
    assert configuration.overruled == (
        "[broker] states = 8 does not count (from environment LUAFARM_BROKER__STATES): "
        "--set broker.states says 9",
        f'[front] listen = ["127.0.0.1:1"] does not count (from {file}): '
        '--listen says ["127.0.0.1:2"]',
    )


def test_a_missing_file_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"/no/such: No such file or directory"):
        configure.load(Path("/no/such"))


# ---- writing and reading again -----------------------------------------------------


def values(option: Option) -> st.SearchStrategy[Value]:
    if option.choices:
        one = st.sampled_from(option.choices)
        return st.lists(one).map(tuple) if option.kind is tuple else one
    if option.kind is bool:
        return st.booleans()
    if option.kind is int:
        most = 2**40 if option.most is None else int(option.most)
        return st.integers(int(option.least), most)
    if option.kind is float:
        return st.floats(option.least, 1e6 if option.most is None else option.most)
    clean = st.text(
        st.characters(blacklist_categories=["Cs"], blacklist_characters="\0")
    )
    if option.unit in {"path", "listener"}:
        clean = st.just("/x y/ü\"\\'\n")
    return st.lists(clean).map(tuple) if option.kind is tuple else clean


EVERY_OPTION = [option for section in SECTIONS for option in options(section).values()]


@given(st.data())
def test_a_value_that_was_shown_is_read_again(data: st.DataObject) -> None:
    option = data.draw(st.sampled_from(EVERY_OPTION))
    value = data.draw(values(option))
    shown = option.show(value)
    read = tomllib.loads(f"value = {shown}")["value"]
    assert option.accept(read, Path("/")) == value


def test_effective_settings_are_a_file_that_says_the_same(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        """
        [front]
        listen = ["unix:x", "127.0.0.1:9"]
        [pool.a]
        root = "/srv/a"
        wall = 0.0123
        [[script]]
        pattern = "*"
        memory = "3 MiB"
        [compat]
        headers = "A: b\\r\\n"
        """,
    ).settings
    file = tmp_path / "again.toml"
    file.write_text(manual.effective(settings), encoding="utf-8")
    assert configure.load(file, environment={}).settings == settings


# ---- files that strangers may write ------------------------------------------------

STRANGER = 4711
AS_ROOT = os.geteuid() == 0


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go where a configuration lies."""
    place = tmp_path / "here"
    place.mkdir()
    place.chmod(0o755)
    (place / "luafarm.toml").write_text("[broker]\nstates = 7\n")
    (place / "luafarm.toml").chmod(0o644)
    monkeypatch.chdir(place)
    return place


def found(where: Path) -> tuple[int, list[str]]:
    """Return a setting of what is found, and what is said of it."""
    configuration = configure.load(None, environment={})
    assert (configuration.file is None) == bool(configuration.notes)
    notes = [note.replace(str(where), "HERE") for note in configuration.notes]
    return configuration.settings.broker.states, notes


def test_a_file_that_is_found_counts_when_it_is_ours(here: Path) -> None:
    assert found(here) == (7, [])


def test_a_file_that_is_found_and_that_others_may_write_is_left_out(
    here: Path,
) -> None:
    (here / "luafarm.toml").chmod(0o666)
    states, [note] = found(here)
    assert states == Settings().broker.states
    assert note.startswith(
        "HERE/luafarm.toml is left out: HERE/luafarm.toml may be written by others ("
    )
    assert note.endswith(", mode 0666); --config uses a file all the same")


@pytest.mark.parametrize("mode", [0o777, 0o1777])
def test_a_file_that_is_found_where_others_may_write_is_left_out(
    here: Path, mode: int
) -> None:
    here.chmod(mode)
    states, [note] = found(here)
    assert states == Settings().broker.states
    assert "HERE may be written by others" in note


@pytest.mark.skipif(not AS_ROOT, reason="only root can give files away")
@pytest.mark.parametrize("what", [".", "luafarm.toml"])
def test_a_file_that_a_stranger_put_there_is_left_out(here: Path, what: str) -> None:
    os.chown(here / what, STRANGER, -1)
    states, [note] = found(here)
    assert states == Settings().broker.states
    assert "belongs to uid 4711 (mode 0" in note


def test_a_pipe_in_the_place_of_a_file_makes_nobody_wait(here: Path) -> None:
    (here / "luafarm.toml").unlink()
    os.mkfifo(here / "luafarm.toml")
    states, [note] = found(here)
    assert states == Settings().broker.states
    assert note.startswith(
        "HERE/luafarm.toml is left out: HERE/luafarm.toml is no regular file"
    )


def test_a_named_file_that_others_may_write_is_told_and_refused_by_root(
    tmp_path: Path,
) -> None:
    file = tmp_path / "luafarm.toml"
    file.write_text("[broker]\nstates = 7\n")
    file.chmod(0o666)
    if AS_ROOT:
        with pytest.raises(SettingsError, match=r"not for root: .* mode 0666"):
            configure.load(file, environment={})
    else:
        configuration = configure.load(file, environment={})
        assert configuration.settings.broker.states == 7
        assert "may be written by others" in configuration.notes[0]
    file.chmod(0o644)
    assert configure.load(file, environment={}).notes == ()


@pytest.mark.skipif(not AS_ROOT, reason="only root can give files away")
def test_a_named_file_is_its_owners_affair(tmp_path: Path) -> None:
    file = tmp_path / "luafarm.toml"
    file.write_text("[broker]\nstates = 7\n")
    os.chown(file, STRANGER, -1)
    assert configure.load(file, environment={}).settings.broker.states == 7


def test_root_refuses_a_named_file_that_others_may_exchange(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    file = place / "luafarm.toml"
    file.write_text("")
    file.chmod(0o644)
    place.chmod(0o1777)  # in a sticky directory nobody exchanges it
    assert configure.load(file, environment={}).notes == ()
    place.chmod(0o777)
    if AS_ROOT:
        with pytest.raises(SettingsError, match="place may be written by others"):
            configure.load(file, environment={})
    else:
        [note] = configure.load(file, environment={}).notes
        assert "place may be written by others" in note


def test_a_pipe_may_be_named(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"[broker]\nstates = 7\n")
    os.close(writing)
    try:
        file = Path(f"/dev/fd/{reading}")
        assert configure.load(file, environment={}).settings.broker.states == 7
    finally:
        os.close(reading)
