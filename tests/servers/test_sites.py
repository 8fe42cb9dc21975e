"""A whole site behind each web server: pages, files, and what nobody may see."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import apache, content, farm, haproxy, lighttpd, nginx
from tests.servers.client import ask
from tests.servers.conftest import INSTALL, Site
from tests.servers.farm import Farm
from tests.servers.server import Application, Variants

pytestmark = pytest.mark.process

VARIANTS = (nginx.VARIANTS, apache.VARIANTS, lighttpd.VARIANTS, haproxy.VARIANTS)


@pytest.fixture
def room() -> Iterator[Path]:
    with farm.directory() as made:
        yield made


@pytest.fixture(params=VARIANTS, ids=lambda variants: variants.name)
def variants(request: pytest.FixtureRequest) -> Variants:
    found: Variants = request.param
    absent = found.missing()
    if absent:
        pytest.skip(f"{absent}: {INSTALL}")
    return found


def application(served: Farm) -> Application:
    return Application(served.socket, served.port, served.root)


# ---- pages -------------------------------------------------------------------------


def test_the_root_is_its_index_and_so_is_a_directory(site: Site) -> None:
    assert ask(site.port, "/?a=b").body == b"index of /index.lua for [][a=b]"
    assert ask(site.port, "/sub/").body == content.RAN.encode()


def test_a_directory_without_its_slash_is_completed(site: Site) -> None:
    reply = ask(site.port, "/sub?a=b")
    if site.server.completes_directories:
        assert reply.status == 301
        assert reply.headers["Location"].endswith("/sub/?a=b")
    else:
        assert reply.status == 404


def test_a_page_may_be_asked_for_without_its_ending(site: Site) -> None:
    assert ask(site.port, "/blog/5?x=1").body == b"blog as /blog.lua for [/5][x=1]"
    assert ask(site.port, "/blog?x=1").body == b"blog as /blog.lua for [][x=1]"
    assert ask(site.port, "/blog/a/b").body == b"blog as /blog.lua for [/a/b][]"
    assert ask(site.port, "/blog/5", body=b"x").body == b"blog as /blog.lua for [/5][]"


@pytest.mark.parametrize("target", ["/nothing", "/nothing/5", "/no.css", "/upload/no"])
def test_a_page_that_is_not_there_is_not_found(site: Site, target: str) -> None:
    assert ask(site.port, target).status == 404


# ---- files -------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/style.css", "/deep/er/style.css"])
def test_a_style_sheet_arrives_as_one(site: Site, target: str) -> None:
    reply = ask(site.port, target)
    if site.server.sees_files:
        assert reply.headers.get_content_type() == "text/css"
        assert reply.body == content.STYLE.encode()
    else:
        assert reply.status == 404


def test_a_page_without_scripts_may_be_an_index(site: Site) -> None:
    reply = ask(site.port, "/plain/")
    if site.server.sees_files and site.server.sees_scripts:
        assert reply.headers.get_content_type() == "text/html"
        assert reply.body == b"a plain page\n"
    else:
        assert reply.status == 404


def test_a_certificate_authority_finds_its_token(site: Site) -> None:
    reply = ask(site.port, "/.well-known/acme-challenge/token")
    if site.server.sees_files:
        assert reply.body == content.TOKEN.encode()
    else:
        assert reply.status == 404


@pytest.mark.parametrize("name", content.HIDDEN)
def test_what_is_no_page_and_no_file_for_visitors_stays_hidden(
    site: Site, name: str
) -> None:
    spelled = name.replace(".", "%2e").replace("t", "%74")
    tails = ["", "?x.css", "/x.css", "/index.html", "%00", "%00.css", "%0a", "%20"]
    if site.server.sees_scripts:  # else luafarm tells a file from a directory
        tails.append("/")
    for target in [f"/{name}{tail}" for tail in tails] + [f"/{spelled}", f"//{name}"]:
        reply = ask(site.port, target)
        assert reply.status in {400, 403, 404}, target
        assert content.SECRET.encode() not in reply.body, target


def test_what_begins_with_a_dot_is_hidden_as_if_it_were_not_there(site: Site) -> None:
    for name in (".env", ".git/config", ".git/", ".git", ".git/hook.lua"):
        hidden, absent = ask(site.port, f"/{name}"), ask(site.port, f"/.no{name[1:]}")
        assert hidden.status == absent.status, name


def test_no_script_shows_its_source(site: Site) -> None:
    tails = ("%00", "/", "%20", ".", "%2e", "::$DATA", "%0a", ";.css", "%3f.css")
    for target in [f"/sub/index.lua{tail}" for tail in tails] + [
        "/sub/index.Lua",
        "/sub/index%2elua",
        "/sub//index.lua",
        "/./sub/index.lua",
        "/sub/x/../index.lua",
        "/style.css/../sub/index.lua",
        "/sub/index.lua/x.css",
        "/sub/index.lua/style.css",
    ]:
        reply = ask(site.port, target)
        assert content.SECRET.encode() not in reply.body, target


def test_nothing_but_a_script_runs(site: Site) -> None:
    if not site.server.sees_scripts:
        pytest.skip(f"{site.server.name} does not see what is a script; luafarm does")
    for name in ("upload/evil.jpg", "upload/evil", "old.lua.bak", ".git/hook.lua"):
        for tail in ("", "/x.lua", "/x.lua/y", "/.lua", "%2fx.lua", "//x.lua", "/x"):
            reply = ask(site.port, f"/{name}{tail}")
            assert content.RAN.encode() not in reply.body, (name, tail)


def test_a_link_to_the_file_of_somebody_else_is_not_followed(site: Site) -> None:
    reply = ask(site.port, f"/{content.THEIRS}")
    assert reply.status in {403, 404}
    assert content.SECRET.encode() not in reply.body


def test_a_link_to_a_file_of_its_owner_is_one_more_name(site: Site) -> None:
    reply = ask(site.port, f"/{content.OURS}")
    assert (reply.status == 200) == site.server.follows_own_links


# ---- what the comments of the configurations offer ---------------------------------


def test_one_script_may_be_given_everything(
    variants: Variants, served_farm: Farm, room: Path
) -> None:
    with variants.front_controller(room, application(served_farm)) as running:
        for target in ("/a/b", "/nothing", "/upload/no.jpg", "/a%3Fb", "/blog/5"):
            reply = ask(running.port, f"{target}?q=%201")
            info = target.replace("%3F", "?")
            said = f"index of /index.lua for [{info}][q=%201]"
            if reply.status != 403 or target != "/a%3Fb":  # Apache refuses those
                assert reply.body == said.encode(), target
        assert b"index of /index.lua for [" in ask(running.port, "/").body
        assert ask(running.port, "/blog.lua/5").body.startswith(b"blog as /blog.lua")
        if variants.sees_files:
            assert ask(running.port, "/style.css").body == content.STYLE.encode()
        # a directory without an index is asked for as it is, if at all
        assert b"index.html" not in ask(running.port, "/deep/").body
        for name in content.HIDDEN:
            body = ask(running.port, f"/{name}").body
            assert content.SECRET.encode() not in body, name
        assert ask(running.port, "/.git/config").status in {403, 404}


def test_haproxy_may_have_files_from_a_web_server_beside_luafarm(
    served_farm: Farm, room: Path
) -> None:
    absent = haproxy.missing() or nginx.missing()
    if absent:
        pytest.skip(f"{absent}: {INSTALL}")
    (room / "nginx").mkdir(0o755)
    with nginx.serve(room / "nginx", application(served_farm)) as files:
        changes = {**haproxy.FILES, "127.0.0.1:8080": f"127.0.0.1:{files.port}"}
        both = haproxy.serve(room, application(served_farm), changes=changes)
        with both as running:
            for target in ("/style.css", "/deep/er/style.css"):
                reply = ask(running.port, target)
                assert reply.headers.get_content_type() == "text/css"
                assert reply.body == content.STYLE.encode()
            token = ask(running.port, "/.well-known/acme-challenge/token")
            assert token.body == content.TOKEN.encode()
            assert ask(running.port, "/blog/5").body.startswith(b"blog as /blog.lua")
            for name in content.HIDDEN:
                assert ask(running.port, f"/{name}").status == 404, name


def test_haproxy_may_give_to_one_script_what_is_no_file_of_a_web_server(
    served_farm: Farm, room: Path
) -> None:
    absent = haproxy.missing() or nginx.missing()
    if absent:
        pytest.skip(f"{absent}: {INSTALL}")
    (room / "nginx").mkdir(0o755)
    with nginx.serve(room / "nginx", application(served_farm)) as files:
        changes = {
            **haproxy.FILES,
            **haproxy.FRONT_CONTROLLER,
            r"/index.lua\1 if !is_script": r"/index.lua\1 if !is_script !is_file",
            "127.0.0.1:8080": f"127.0.0.1:{files.port}",
        }
        both = haproxy.serve(room, application(served_farm), changes=changes)
        with both as running:
            assert ask(running.port, "/style.css").body == content.STYLE.encode()
            said = ask(running.port, "/a/b").body
            assert said == b"index of /index.lua for [/a/b][]"


def test_a_site_may_have_its_own_error_pages(
    variants: Variants, served_farm: Farm, room: Path
) -> None:
    with variants.error_pages(room, application(served_farm)) as running:
        for target in ("/nothing", "/nothing.lua", "/no.jpg"):
            reply = ask(running.port, target)
            assert reply.status == 404, target
            assert reply.body == content.NOT_HERE.encode(), target
        reply = ask(running.port, "/fail.lua?for%20a%20page")
        assert (reply.status, reply.body) == (500, content.SORRY.encode())
        assert ask(running.port, "/hello.lua").body == b"Hello World"


def test_a_site_has_its_own_page_while_no_farm_is_there(
    variants: Variants, served_farm: Farm, room: Path
) -> None:
    absent = Application(room / "nobody.sock", 1, served_farm.root)
    with variants.error_pages(room, absent) as running:
        # what is no script does not even get so far where that can be seen
        for target in ("/nothing.lua", "/upload/evil.jpg/x.lua", "/no/such/x.lua"):
            reply = ask(running.port, target)
            assert (reply.status in {403, 404}) == variants.sees_files, target
        reply = ask(running.port, "/hello.lua")
        assert reply.status in {502, 503}
        assert reply.body == content.SORRY.encode()
