"""nginx's lines as people use them: copied into the nginx that Debian installs."""

import contextlib
import os
import random
import shutil
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import daemon
from tests.servers import content, farm, nginx
from tests.servers.client import ask
from tests.servers.conftest import INSTALL
from tests.servers.server import SHIPPED

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(nginx.missing() is not None, reason=INSTALL),
]

INSTALLED = Path("/etc/nginx/nginx.conf")
README = SHIPPED.parent / "README.md"
BODY = random.Random(3).randbytes(5 * 1024 * 1024)


@pytest.fixture
def place() -> Iterator[Path]:
    with farm.directory() as made:
        yield made


def installed(place: Path, lines: str) -> list[str]:
    """Put lines where Debian's nginx looks for sites; return the command that runs it.

    Only what belongs to the machine is moved into `place`: process id, logs, bodies.
    """
    site = place / "site"
    site.write_bytes(os.fsencode(lines))
    text = INSTALLED.read_text()
    if not daemon.IS_ROOT:  # nginx would warn that it cannot change its user
        text = text.replace("user www-data;", "")
    for old, new in {
        "/etc/nginx/sites-enabled/*": str(site),
        "/run/nginx.pid": f"{place}/nginx.pid",
        "/var/log/nginx": str(place),
        "http {": "http {\n" + nginx.TEMPORARY.format(place=place),
    }.items():
        assert old in text, f"{INSTALLED} has no {old!r}"
        text = text.replace(old, new)
    for file in (INSTALLED.parent / "fastcgi_params", INSTALLED.parent / "mime.types"):
        shutil.copy(file, place)
    configuration = place / "nginx.conf"
    configuration.write_text(text)
    return ["nginx", "-p", str(place), "-e", str(place / "e"), "-c", str(configuration)]


def check(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, "-t"], capture_output=True, text=True, timeout=120, check=False
    )


@contextlib.contextmanager
def running(place: Path, lines: str) -> Iterator[int]:
    """Run Debian's nginx with these lines on a free port, once `nginx -t` agrees."""
    port = daemon.free_port()
    assert "listen 80;" in lines
    lines = lines.replace("listen 80;", f"listen 127.0.0.1:{port};")
    command = installed(place, lines)
    tested = check(command)
    assert tested.returncode == 0, tested.stderr
    assert "[warn]" not in tested.stderr
    with daemon.running([*command, "-g", "daemon off;"], place / "out") as process:
        process.wait_until(
            lambda: daemon.accepts(("127.0.0.1", port)), "nginx accepts connections"
        )
        yield port


@contextlib.contextmanager
def printed(place: Path, *arguments: str, pools: str = "") -> Iterator[str]:
    """Run `luafarm up`; give nginx's lines out of what it prints."""
    configuration = place / "luafarm.toml"
    configuration.write_text(f'[paths]\nrun = "{place}/run"\n{pools}')
    command = [sys.executable, "-m", "luafarm", "up", *arguments]
    command += ["--config", str(configuration), "--fronts", "1", "--hosts", "2"]
    log = place / "luafarm.log"

    def said() -> str:
        return os.fsdecode(log.read_bytes())

    with daemon.running(command, log, {"PYTHONIOENCODING": "utf-8"}) as process:
        process.wait_until(lambda: "Ctrl-C" in said(), "it is ready")
        found = said().partition("    upstream ")
        yield textwrap.dedent("".join(found[1:]).partition("\nCtrl-C")[0])


def site(place: Path, name: str) -> Path:
    """Make a root with scripts and files."""
    root = place / name
    shutil.copytree(farm.SCRIPTS, root)
    content.lay(root)
    return root


def check_site(port: int) -> None:
    """Ask for one page of each kind."""
    assert ask(port, "/").body == b"index of /index.lua for [][]"
    assert ask(port, "/hello.lua").body == b"Hello World"
    assert ask(port, "/blog/5").body == b"blog as /blog.lua for [/5][]"
    style = ask(port, "/style.css")
    assert (style.headers["Content-Type"], style.body) == (
        "text/css",
        content.STYLE.encode(),
    )
    assert ask(port, "/echo.lua", body=BODY).body == BODY
    assert ask(port, "/header.lua?6000").headers["X-Long"] == "h" * 6000
    for hidden in (*content.HIDDEN, content.THEIRS, "upload/evil.jpg/x.lua"):
        assert ask(port, f"/{hidden}").status == 404, hidden


# ---- the claims --------------------------------------------------------------------


def test_the_readmes_lines_load_in_debians_nginx(place: Path) -> None:
    lines = README.read_text().split("```nginx\n")[1].split("```")[0]
    lines = lines.replace("listen 80;", f"listen 127.0.0.1:{daemon.free_port()};")
    tested = check(installed(place, lines))
    assert tested.returncode == 0, tested.stderr
    assert "[warn]" not in tested.stderr


def test_what_up_prints_serves_a_site_over_a_unix_socket(place: Path) -> None:
    root, path = site(place, "root"), place / "luafarm.sock"
    with printed(place, str(root), "--listen", f"unix:{path}") as lines:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        with running(place, lines) as port:
            check_site(port)


def test_what_up_prints_serves_a_site_over_tcp(place: Path) -> None:
    root, address = site(place, "root"), f"127.0.0.1:{daemon.free_port()}"
    with (
        printed(place, str(root), "--listen", address) as lines,
        running(place, lines) as port,
    ):
        check_site(port)


def test_what_up_prints_serves_names_that_nginx_must_have_quoted(place: Path) -> None:
    root = site(place, os.fsdecode(b"my site; {1} \xff"))
    path = place / "my farm;.sock"
    with (
        printed(place, str(root), "--listen", f"unix:{path}") as lines,
        running(place, lines) as port,
    ):
        check_site(port)


def test_what_up_prints_serves_a_root_that_is_a_link_and_is_turned(place: Path) -> None:
    old, new, current = site(place, "1"), place / "2", place / "current"
    shutil.copytree(old, new, symlinks=True)
    (new / "style.css").write_text("new {}\n")
    (new / "hello.lua").write_text("function main(e, con) con:puts('new') end\n")
    current.symlink_to(old)
    listen = f"unix:{place}/luafarm.sock"
    with (
        printed(place, str(current), "--listen", listen) as lines,
        running(place, lines) as port,
    ):
        check_site(port)
        turned = place / "turned"
        turned.symlink_to(new)
        turned.rename(current)
        assert ask(port, "/style.css").body == b"new {}\n"
        done = subprocess.run(
            [
                *(sys.executable, "-m", "luafarm", "reload", "--wait", str(current)),
                *("--set", f"paths.run={place}/run"),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert ask(port, "/hello.lua").body == b"new"


def test_scripts_that_nginx_may_not_see_are_served_without_try_files(
    place: Path,
) -> None:
    if not daemon.IS_ROOT:
        pytest.skip("nginx would be the same user, and see them")
    closed = place / "closed"
    closed.mkdir(0o700)
    root, looks = site(closed, "root"), "try_files $fastcgi_script_name =404;"
    listen = f"unix:{place}/luafarm.sock"
    (place / "1").mkdir(0o755)
    (place / "2").mkdir(0o755)
    with printed(place, str(root), "--listen", listen) as lines:
        assert looks in lines
        with running(place / "1", lines) as port:
            assert ask(port, "/hello.lua").status == 404
        with running(place / "2", lines.replace(looks, "")) as port:
            assert ask(port, "/hello.lua").body == b"Hello World"
            assert ask(port, "/blog/5").body == b"blog as /blog.lua for [/5][]"
            assert ask(port, "/echo.lua", body=BODY).body == BODY
            for absent in ("/nothing.lua", "/nothing", "/.git/config", "/.env"):
                assert ask(port, absent).status == 404, absent


def test_what_up_prints_serves_several_pools_by_host_name(place: Path) -> None:
    roots = {name: site(place, name) for name in ("first", "second", "third")}
    for name, root in roots.items():
        (root / "who.lua").write_text(f"function main(e, con) con:puts('{name}') end\n")
    pools = (
        f'[pool.main]\nroot = ["{roots["first"]}"]\n'
        f'[pool.shop]\nroot = ["{roots["second"]}", "{roots["third"]}"]\n'
    )
    listen = f"unix:{place}/luafarm.sock"
    with (
        printed(place, "--listen", listen, pools=pools) as lines,
        running(place, lines) as port,
    ):
        check_site(port)
        for host, name in (
            ("www.example.org", "first"),
            ("shop.example.org", "second"),
            ("SHOP.localhost", "second"),
            ("shop-2.example.org", "third"),
            ("a-shop.example.org", "first"),
        ):
            reply = ask(port, "/who.lua", headers={"Host": host})
            assert reply.body == name.encode(), host


def test_up_says_who_may_connect_and_that_a_directory_keeps_them_out(
    place: Path,
) -> None:
    root, closed = site(place, "root"), place / "closed"
    closed.mkdir(0o700)
    with printed(place, str(root), "--listen", f"unix:{closed}/x.sock"):
        said = (place / "luafarm.log").read_text()
    group = nginx_group() if daemon.IS_ROOT else ""
    assert f"group {group}" in said
    assert " may connect (--listen-group names another" in said
    assert f" cannot enter {closed} (mode 0700)" in said


def nginx_group() -> str:
    """Return the group that Debian's nginx runs in."""
    line = next(x for x in INSTALLED.read_text().split("\n") if x.startswith("user "))
    return line.split()[1].rstrip(";")


def test_listen_group_names_another_group(place: Path) -> None:
    if not daemon.IS_ROOT:
        pytest.skip("only root gives sockets to any group")
    root, path = site(place, "root"), place / "x.sock"
    arguments = ["--listen", f"unix:{path}", "--listen-group", "nogroup"]
    with printed(place, str(root), *arguments):
        assert path.stat().st_gid == 65534
    said = (place / "luafarm.log").read_text()
    assert "root and group nogroup may connect (--listen-group names another)" in said


def test_a_group_that_there_is_not_is_one_clear_error(place: Path) -> None:
    root = site(place, "root")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "luafarm", "up", str(root)),
            *("--listen", f"unix:{place}/x.sock", "--listen-group", "no-such"),
            *("--set", f"paths.run={place}/run"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == (
        'luafarm: configuration: [front] listen_group = "no-such": no such group '
        "(from --listen-group)\n"
    )
