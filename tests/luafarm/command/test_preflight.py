"""What is looked at on this machine before a role starts."""

import os
import pwd
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from luafarm.command import preflight
from luafarm.config import configure
from luafarm.config.settings import Front
from luafarm.errors import SettingsError
from luafarm.keys import curve
from luafarm.process import cplaces
from luafarm.process.sockets import Kept, Listening
from tests.native import ANSWER, build

AS_ROOT = os.geteuid() == 0


def refusal(tmp_path: Path, text: str, *roles: str) -> str:
    with pytest.raises(SettingsError) as caught:
        check(tmp_path, text, *roles)
    line = str(caught.value)
    assert "\n" not in line
    return line.replace(str(tmp_path), "DIR")


def check(tmp_path: Path, text: str, *roles: str, held: Sequence[Kept] = ()) -> None:
    file = tmp_path / "luafarm.toml"
    file.write_text(text)
    preflight.check(configure.load(file, environment={}), *roles, held=held)


HERE = "(from DIR/luafarm.toml)"


def test_a_root_must_exist(tmp_path: Path) -> None:
    line = refusal(tmp_path, "[pool.a]\nroot = ['nosuch']", "broker")
    assert line == (
        f'[pool.a] root = ["DIR/nosuch"]: DIR/nosuch: No such file or directory {HERE}'
    )


def test_a_root_must_be_a_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    line = refusal(tmp_path, "[pool.a]\nroot = ['file']", "broker")
    assert line == f'[pool.a] root = ["DIR/file"]: DIR/file is no directory {HERE}'


def test_a_library_must_exist(tmp_path: Path) -> None:
    text = "[pool.a]\nroot = ['.']\nlibrary = ['lib']"
    assert refusal(tmp_path, text, "broker").startswith("[pool.a] library = ")


@pytest.mark.skipif(AS_ROOT, reason="root reads everything")
def test_a_root_must_be_readable(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    line = refusal(tmp_path, "[pool.a]\nroot = ['closed']", "broker")
    assert "cannot be read" in line


def test_a_pool_needs_a_root_where_the_broker_runs(tmp_path: Path) -> None:
    line = refusal(tmp_path, "[pool.a]", "broker")
    assert (
        line == "[pool.a] root = []: a directory of scripts is missing (from default)"
    )
    check(tmp_path, "[pool.a]", "vmhost")


@pytest.mark.parametrize("role", ["broker", "vmhost"])
def test_a_pool_is_needed(tmp_path: Path, role: str) -> None:
    assert refusal(tmp_path, "", role) == (
        f"[pool]: no pool is configured: there is nothing to serve {HERE}"
    )


def test_roots_that_meet_through_a_symlink_are_refused(tmp_path: Path) -> None:
    (tmp_path / "real" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real/b")
    text = "[pool.a]\nroot = ['real']\n[pool.b]\nroot = ['link']"
    assert refusal(tmp_path, text, "broker") == (
        '[pool.b] root = ["DIR/link"]: DIR/link is DIR/real/b, which overlaps DIR/real '
        f"of [pool.a] {HERE}"
    )


def test_a_front_needs_a_listener(tmp_path: Path) -> None:
    assert refusal(tmp_path, "", "fcgi") == (
        "[front] listen = []: neither a FastCGI nor an HTTP listener is configured "
        "(from default)"
    )


def test_a_port_that_is_taken_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        text = f"[front]\nlisten = ['{address}']"
        assert refusal(tmp_path, text, "fcgi") == (
            f'[front] listen = ["{address}"]: {address} cannot be used: Address '
            f"already in use {HERE}"
        )


def test_an_address_of_another_machine_is_refused(tmp_path: Path) -> None:
    line = refusal(tmp_path, "[front]\nhttp = '192.0.2.1:80'", "fcgi")
    assert "cannot be used: Cannot assign requested address" in line


def test_a_unix_socket_needs_its_directory(tmp_path: Path) -> None:
    line = refusal(tmp_path, "[front]\nlisten = ['unix:no/x.sock']", "fcgi")
    assert "cannot be used: there is no directory DIR/no" in line


def test_a_file_in_place_of_a_unix_socket_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.sock").write_text("")
    line = refusal(tmp_path, "[front]\nlisten = ['unix:x.sock']", "fcgi")
    assert "a file that is no socket has this name" in line


def test_a_unix_socket_that_is_in_use_is_refused(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(tmp_path / "x.sock"))
        taken.listen()
        line = refusal(tmp_path, "[front]\nlisten = ['unix:x.sock']", "fcgi")
        assert "another process listens there" in line


def test_a_unix_socket_that_was_left_over_is_fine(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "x.sock"))
    check(tmp_path, "[front]\nlisten = ['unix:x.sock']", "fcgi")


@pytest.mark.skipif(not shutil.which("setpriv"), reason="setpriv takes rights away")
def test_a_low_port_says_which_capability_it_needs(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    without = ["setpriv", "--bounding-set=-net_bind_service"] if AS_ROOT else []
    settings = ["front.listen=127.0.0.1:1", f"pool.a.root={tmp_path}/root"]
    given = [argument for one in settings for argument in ("--set", one)]
    done = subprocess.run(
        [*without, sys.executable, "-m", "luafarm", "fcgi", *given],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert (
        "127.0.0.1:1 cannot be used: Permission denied; a port below 1024 needs "
        in (done.stderr)
    )
    assert "CAP_NET_BIND_SERVICE" in done.stderr


def test_a_descriptor_must_be_a_socket(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        text = f"[front]\nlisten = ['fd:{file.fileno()}']"
        assert "the descriptor is no socket" in refusal(tmp_path, text, "fcgi")
    assert "Bad file descriptor" in refusal(tmp_path, text, "fcgi")


def test_keys_must_be_there_for_the_roles_that_start(tmp_path: Path) -> None:
    text = (
        "[broker]\nendpoint = 'tcp://192.0.2.1:1'\n[security]\nkeys = 'keys'\n"
        "[pool.a]\n"
    )
    line = refusal(tmp_path, text, "vmhost")
    assert line == (
        '[security] keys = "DIR/keys": DIR/keys/vmhost.secret: No such file or '
        f"directory {HERE}"
    )
    curve.keygen(tmp_path / "keys")
    check(tmp_path, text, "vmhost")
    (tmp_path / "keys" / "fcgi.secret").unlink()
    check(tmp_path, text, "vmhost")


@pytest.mark.parametrize("role", ["vmhost", "fcgi"])
def test_keys_are_looked_for_wherever_a_role_takes_them(
    tmp_path: Path, role: str
) -> None:
    text = "[security]\nkeys = 'keys'\n[pool.a]\n[front]\nlisten = 'unix:x.sock'\n"
    line = refusal(tmp_path, text, role)
    assert line == (
        f'[security] keys = "DIR/keys": DIR/keys/{role}.secret: No such file or '
        f"directory {HERE}"
    )


def test_the_log_needs_its_directory(tmp_path: Path) -> None:
    assert refusal(tmp_path, "[log]\nfile = 'no/x.log'") == (
        '[log] file = "DIR/no/x.log": the directory DIR/no is missing or not writable '
        + HERE
    )


def test_a_log_where_strangers_may_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    line = refusal(tmp_path, "[log]\nfile = 'open/x.log'")
    assert line.startswith('[log] file = "DIR/open/x.log": DIR/open may be written by')
    assert line.endswith(HERE)
    assert not (tmp_path / "open" / "x.log").exists()


def test_owners_of_listeners_must_exist(tmp_path: Path) -> None:
    text = "[front]\nlisten = ['unix:x.sock']\nlisten_group = 'nosuch'"
    assert refusal(tmp_path, text, "fcgi") == (
        f'[front] listen_group = "nosuch": no such group {HERE}'
    )
    assert not (tmp_path / "x.sock").exists()


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="there is no IPv6")
def test_a_port_that_is_taken_on_ipv6_alone_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6) as taken:
        text = f"[front]\nhttp = ':{taken.getsockname()[1]}'"
        assert "cannot be used: Address already in use" in refusal(
            tmp_path, text, "fcgi"
        )


def test_what_is_held_is_not_in_the_way(tmp_path: Path) -> None:
    text = f"[front]\nlisten = ['unix:{tmp_path}/x.sock']"
    listening = Listening(Front(listen=(f"unix:{tmp_path}/x.sock",)))
    assert "another process listens there" in refusal(tmp_path, text, "fcgi")
    check(tmp_path, text, "fcgi", held=listening.kept())
    listening.close()


@pytest.mark.skipif(not AS_ROOT, reason="only root becomes another user")
def test_the_user_must_exist(tmp_path: Path) -> None:
    assert refusal(tmp_path, "[security]\nuser = 'nosuchuser'") == (
        f'[security] user = "nosuchuser": no such user {HERE}'
    )


# ---- what trusted pools run --------------------------------------------------------

TRUSTED = "[pool.a]\ntrust = 'trusted'\nroot = ['root']\n"
NOT_OURS = (
    ", who could run code in this trusted pool; its writers name who else may "
    "(from DIR/luafarm.toml)"
)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Make a root and a library."""
    for name in ("root", "lib"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o755)
    return tmp_path


def test_a_trusted_pool_of_ours_is_fine(site: Path) -> None:
    text = TRUSTED + "library = ['lib']\ncpath = '" + str(site) + "/lib/?.so'\n"
    check(site, text, "broker", "vmhost")


@pytest.mark.parametrize("role", ["broker", "vmhost"])
def test_a_trusted_root_that_others_may_write_is_refused(site: Path, role: str) -> None:
    (site / "root").chmod(0o777)
    line = refusal(site, TRUSTED, role)
    assert line.startswith('[pool.a] root = ["DIR/root"]: DIR/root may be written by')
    assert line.endswith(f"mode 0777){NOT_OURS}")
    check(site, "[pool.a]\nroot = ['root']\n", role)  # sandboxed: as before


def test_a_trusted_root_that_others_may_exchange_is_refused(site: Path) -> None:
    (site / "shared" / "root").mkdir(parents=True)
    (site / "shared").chmod(0o777)
    text = TRUSTED.replace("'root'", "'shared/root'")
    assert "DIR/shared may be written by others" in refusal(site, text, "broker")


def test_a_trusted_library_that_others_may_write_is_refused(site: Path) -> None:
    (site / "lib").chmod(0o777)
    line = refusal(site, TRUSTED + "library = ['lib']", "broker")
    assert line.startswith('[pool.a] library = ["DIR/lib"]: DIR/lib may be written')


def test_lua_modules_of_the_system_that_others_may_write_are_refused(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site / "lib").chmod(0o777)
    places = f"/usr/share/lua/5.1/?.lua;{site}/lib/5.1/?/init.lua"
    monkeypatch.setattr(cplaces, "default_path", lambda _: places)
    line = refusal(site, TRUSTED, "vmhost")
    assert line.startswith('[pool.a] trust = "trusted": DIR/lib may be written by')
    assert line.endswith(f"mode 0777){NOT_OURS}")
    check(site, "[pool.a]\nroot = ['root']\n", "vmhost")


@pytest.mark.parametrize("template", ["lib/?.so", "lib/new/?.so", "lib/?/init.so"])
def test_c_modules_from_where_others_may_write_are_refused(
    site: Path, template: str
) -> None:
    (site / "lib").chmod(0o777)
    line = refusal(
        site, f"{TRUSTED}cpath = '/usr/lib/?.so;{site}/{template}'", "vmhost"
    )
    assert line.startswith("[pool.a] cpath = ")
    assert "DIR/lib may be written by others" in line


def test_relative_c_modules_come_from_where_the_farm_is_started(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site / "lib").chmod(0o777)
    text = TRUSTED + "cpath = './?.so'"
    monkeypatch.chdir(site)
    check(site, text, "vmhost")
    monkeypatch.chdir(site / "lib")
    assert "DIR/lib may be written by others" in refusal(site, text, "vmhost")


@pytest.mark.skipif(not AS_ROOT, reason="only root can give files away")
def test_whom_the_operator_names_may_write_a_trusted_root(site: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    os.chown(site / "root", nobody.pw_uid, nobody.pw_gid)
    line = refusal(site, TRUSTED, "broker")
    assert f"DIR/root belongs to nobody (mode 0755){NOT_OURS}" in line
    check(site, TRUSTED + "writers = ['nobody']", "broker")
    file = site / "luafarm.toml"
    file.write_text(TRUSTED + "[security]\nuser = 'nobody'")
    preflight.check_trusted(configure.load(file, environment={}))
    (site / "root").chmod(0o775)
    line = refusal(site, TRUSTED + "writers = ['nobody']", "broker")
    assert "may be written by others (nobody:nogroup, mode 0775)" in line
    check(site, TRUSTED + "writers = ['nobody', '@nogroup']", "broker")


@pytest.mark.parametrize(
    ("writer", "kind"), [("nosuchone", "user"), ("@nosuchone", "group")]
)
def test_writers_must_exist(site: Path, writer: str, kind: str) -> None:
    line = refusal(site, f"{TRUSTED}writers = ['{writer}']", "broker")
    assert line == f'[pool.a] writers: "{writer}": no such {kind}'


def test_a_c_module_that_is_missing_is_named_with_its_package(tmp_path: Path) -> None:
    text = (
        "[pool.a]\nroot = ['.']\ndialect = 'lua54'\nc_modules = ['cjson']\n"
        "cpath = '/nowhere/?.so'"
    )
    for role in ("broker", "vmhost"):
        line = refusal(tmp_path, text, role)
        assert line == (
            '[pool.a] c_modules = ["cjson"]: no C module cjson for lua54: '
            "/nowhere/cjson.so; Debian has it in the package lua-cjson "
            f"{HERE}"
        )


def test_c_modules_that_strangers_could_write_are_refused(tmp_path: Path) -> None:
    place = tmp_path / "c"
    place.mkdir()
    (place / "x.so").write_bytes(b"")
    place.chmod(0o777)
    text = f"[pool.a]\nroot = ['.']\nc_modules = ['x']\ncpath = '{place}/?.so'"
    line = refusal(tmp_path, text, "vmhost")
    assert line.startswith('[pool.a] c_modules = ["x"]: DIR/c may be written by others')
    assert "who could run code in every VM host of this pool" in line
    build(place / "x.so", ANSWER.format(name="x"))
    assert line == refusal(tmp_path, text, "vmhost")
    place.chmod(0o755)
    check(tmp_path, text, "vmhost")


def unopened(tmp_path: Path, name: str = "x", dialect: str = "lua54") -> str:
    """Return why a module below `tmp_path` is refused, without what is always said."""
    text = (
        f"[pool.a]\nroot = ['.']\ndialect = '{dialect}'\nc_modules = ['{name}']\n"
        f"cpath = '{tmp_path}/?.so'"
    )
    (line,) = {refusal(tmp_path, text, role) for role in ("broker", "vmhost")}
    said = f'[pool.a] c_modules = ["{name}"]: '
    assert line.startswith(said)
    assert line.endswith(f" {HERE}")
    return line.removeprefix(said).removesuffix(f" {HERE}")


def test_a_c_module_that_is_no_library_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.so").write_text("junk")
    assert unopened(tmp_path) == (
        "C module x for lua54: DIR/x.so cannot be loaded: file too short"
    )


def test_a_c_module_for_another_version_of_lua_is_refused(tmp_path: Path) -> None:
    source = "extern int lua_pcall(); int luaopen_x(void *L) { return lua_pcall(L); }"
    build(tmp_path / "x.so", source)
    assert unopened(tmp_path) == (
        "C module x for lua54: DIR/x.so cannot be loaded: undefined symbol: lua_pcall"
    )


def test_a_c_module_that_does_not_know_this_lua_is_refused(tmp_path: Path) -> None:
    source = (
        "extern int luaL_error(void *L, const char *text, ...);\n"
        'int luaopen_x(void *L) { return luaL_error(L, "version mismatch"); }'
    )
    build(tmp_path / "x.so", source)
    assert unopened(tmp_path) == (
        "C module x for lua54: DIR/x.so cannot be loaded: version mismatch"
    )
    build(tmp_path / "x.so", "int luaopen_x(void *L) { __builtin_trap(); }")
    assert unopened(tmp_path).startswith(
        "C modules x for lua54: the process that opened them was killed by SIG"
    )


def test_a_c_module_whose_library_is_missing_is_refused(tmp_path: Path) -> None:
    build(tmp_path / "libneeded.so", "int needed(void) { return 0; }")
    source = "extern int needed(); int luaopen_x(void *L) { return needed(); }"
    build(tmp_path / "x.so", source, f"-L{tmp_path}", "-lneeded")
    assert unopened(tmp_path) == (
        "C module x for lua54: DIR/x.so cannot be loaded: libneeded.so: cannot open "
        "shared object file: No such file or directory"
    )


def test_a_c_module_that_ends_who_opens_it_is_refused(tmp_path: Path) -> None:
    source = (
        "#include <stdlib.h>\n__attribute__((constructor)) void begin(void) "
        "{ abort(); }"
    )
    build(tmp_path / "x.so", source)
    assert unopened(tmp_path) == (
        "C modules x for lua54: the process that opened them was killed by SIGABRT"
    )


def place(root: Path, name: str, function: str) -> Path:
    """Build the library of a module with one function; return its file."""
    file = root / f"{name.replace('.', '/')}.so"
    file.parent.mkdir(parents=True, exist_ok=True)
    build(file, ANSWER.format(name=function))
    return file


@pytest.mark.parametrize(
    ("name", "dialect", "functions"),
    [
        ("x", "lua54", "luaopen_x"),
        ("a.b", "lua54", "luaopen_a_b"),
        ("a.v1-b.c", "luajit21", "luaopen_b_c"),
        ("a.v1-b.c", "lua54", "luaopen_a_v1 or luaopen_b_c"),
    ],
)
def test_a_library_without_the_function_of_its_module_is_refused(
    tmp_path: Path, name: str, dialect: str, functions: str
) -> None:
    file = place(tmp_path, name, "other")
    shown = f"DIR/{file.relative_to(tmp_path)}"
    assert unopened(tmp_path, name, dialect) == (
        f"C module {name} for {dialect}: {shown} has no function {functions}"
    )


@pytest.mark.parametrize(
    ("name", "dialect", "function"),
    [
        ("a.b", "lua54", "a_b"),
        ("a.v1-b.c", "luajit21", "b_c"),
        ("a.v1-b.c", "lua54", "b_c"),
        ("a.b-v1", "lua54", "a_b"),
    ],
)
def test_the_function_of_a_module_is_found_as_lua_does(
    tmp_path: Path, name: str, dialect: str, function: str
) -> None:
    place(tmp_path, name, function)
    text = (
        f"[pool.a]\nroot = ['.']\ndialect = '{dialect}'\nc_modules = ['{name}']\n"
        f"cpath = '{tmp_path}/?.so'"
    )
    check(tmp_path, text, "vmhost")


def test_what_c_modules_are_tried_in_inherits_no_descriptor(tmp_path: Path) -> None:
    receiver, sender = os.pipe()
    os.set_inheritable(sender, True)
    try:
        source = (
            "#include <fcntl.h>\n#include <stdlib.h>\n"
            "__attribute__((constructor)) void begin(void) "
            f"{{ if (fcntl({sender}, F_GETFD) != -1) abort(); }}"
        )
        build(tmp_path / "x.so", source + ANSWER.format(name="x"))
        text = f"[pool.a]\nroot = ['.']\nc_modules = ['x']\ncpath = '{tmp_path}/?.so'"
        check(tmp_path, text, "vmhost")
    finally:
        os.close(receiver)
        os.close(sender)


def test_what_strangers_could_write_is_not_even_opened(tmp_path: Path) -> None:
    source = (
        "#include <stdio.h>\n__attribute__((constructor)) void begin(void) "
        f'{{ fclose(fopen("{tmp_path}/opened", "w")); }}' + ANSWER.format(name="x")
    )
    build(tmp_path / "x.so", source).chmod(0o777)
    assert "DIR/x.so may be written by others" in unopened(tmp_path)
    assert not (tmp_path / "opened").exists()


def test_a_c_module_that_is_tried_runs_nothing_of_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = """
        extern int lua_getglobal(void *L, const char *name);
        extern const char *lua_pushstring(void *L, const char *text);
        extern void lua_callk(void *L, int n, int results, long long c, void *k);
        int luaopen_x(void *L) {
          lua_getglobal(L, "require");
          lua_pushstring(L, "planted");
          lua_callk(L, 1, 1, 0, 0);
          return 1;
        }
    """
    build(tmp_path / "x.so", source)
    (tmp_path / "planted.lua").write_text(f"io.open('{tmp_path}/run', 'w'):close()")
    monkeypatch.chdir(tmp_path)
    line = unopened(tmp_path)
    assert "DIR/x.so cannot be loaded: module 'planted' not found: no field" in line
    assert not (tmp_path / "run").exists()


def test_a_trusted_cpath_without_a_mark_is_a_file_of_nobody_else(site: Path) -> None:
    file = site / "lib" / "all.so"
    file.write_text("")
    text = f"{TRUSTED}cpath = '{file}'"
    check(site, text, "vmhost")
    file.chmod(0o666)
    line = refusal(site, text, "vmhost")
    assert "DIR/lib/all.so may be written by others" in line
