"""The libraries: pure Lua, widely used, with tests that their authors hand out."""

from typing import Final

from tests.libraries.library import Kind, Library, Suite


def _busted(files: str, *without: str, excluded: tuple[str, ...] = ()) -> Suite:
    return Suite(Kind.BUSTED, files, without, excluded)


# fuzzing goes on for a time, not for a number of tests
_MESSAGEPACK: Final = Suite(
    Kind.MORE, "test/*.lua", without=("05-fuzzing.lua",), in_memory=True
)
_DEBIAN: Final = ("usr/share/lua/5.1",)

_ALL: Final = (
    Library(
        "penlight",
        "lua-penlight",
        path=("lua",),
        suites=(
            Suite(Kind.SCRIPT, "tests/test-*.lua"),
            _busted("spec/*_spec.lua"),
        ),
    ),
    Library(
        "luassert",
        "lua-luassert",
        lay={"lib/luassert": "src"},
        path=("lib",),
        suites=(_busted("spec/*_spec.lua"),),
        needs=("say",),
    ),
    Library("say", "lua-say", path=("src",), suites=(_busted("spec/*_spec.lua"),)),
    Library(
        "busted",
        "lua-busted",
        modules=("busted/**/*.lua",),
        suites=(),
        needs=("penlight", "luassert", "say", "mediator", "cliargs"),
    ),
    Library(
        "luaunit",
        "lua-unit",
        modules=("luaunit.lua",),
        suites=(Suite(Kind.XUNIT, "test/test_luaunit.lua"),),
    ),
    Library(
        "MessagePack",
        "lua-messagepack",
        path=("src",),
        suites=(_MESSAGEPACK,),
    ),
    Library(
        "MessagePack (5.3)",
        "lua-messagepack",
        path=("src5.3",),
        suites=(_MESSAGEPACK,),
    ),
    Library(
        "dkjson",
        "lua-dkjson",
        modules=("dkjson.lua",),
        suites=(Suite(Kind.SCRIPT, "jsontest.lua"),),
    ),
    Library(
        "inspect",
        "lua-inspect",
        modules=("inspect.lua",),
        suites=(_busted("spec/*_spec.lua"),),
    ),
    Library(
        "argparse",
        "lua-argparse",
        path=("src",),
        suites=(_busted("spec/*_spec.lua"),),
    ),
    Library(
        "cliargs",
        "lua-cliargs",
        path=("src",),
        suites=(_busted("spec/**/*_spec.lua"),),
    ),
    Library(
        "moses",
        "lua-moses",
        modules=("moses*.lua",),
        suites=(_busted("spec/*_spec.lua"),),
    ),
    Library(
        "mediator",
        "lua-mediator",
        path=("src",),
        suites=(_busted("spec/*_spec.lua"),),
    ),
    Library(
        "ansicolors",
        "lua-ansicolors",
        modules=("ansicolors.lua",),
        suites=(_busted("specs/*_spec.lua"),),
    ),
    Library(
        "binaryheap",
        "lua-binaryheap",
        path=("src",),
        suites=(_busted("spec/*_spec.lua"),),
    ),
    Library(
        "fifo", "lua-fifo", modules=("fifo.lua",), suites=(_busted("spec/*_spec.lua"),)
    ),
    Library(
        "inifile",
        "lua-inifile",
        modules=("inifile.lua",),
        suites=(_busted("*_spec.lua"),),
    ),
    Library(
        "compat53",
        "lua-compat53",
        modules=("compat53/*.lua",),  # its tests need a C module
    ),
    Library(
        "coxpcall",
        "lua-coxpcall",
        path=("src",),
        suites=(Suite(Kind.SCRIPT, "tests/test.lua", work="tests"),),
    ),
    Library(
        "uri",
        "lua-uri",
        modules=("uri.lua", "uri/**/*.lua", "lunit.lua"),
        suites=(Suite(Kind.XUNIT, "test/*.lua", modules="^test%."),),
    ),
    Library(
        "lemock",
        "lua-lemock",
        path=("build",),
        modules=("lemock.lua",),
        suites=(Suite(Kind.XUNIT, "build/unit/*.lua", modules="^unit%."),),
        needs=("uri",),
    ),
    Library(
        "luacheck",
        "luacheck",
        path=("src",),
        # cli_spec is of the program, which a shell starts; cache_spec waits for the
        # file system's clock, which the stand-in for lfs has not
        suites=(_busted("spec/*_spec.lua", "cli_spec.lua", "cache_spec.lua"),),
        needs=("argparse",),
    ),
    Library(
        "prosody",
        "prosody",
        lay={f"lib/{name}": name for name in ("util", "net", "core")},
        path=("lib", "fallbacks"),
        modules=("util/**/*.lua",),
        suites=(
            _busted(
                "spec/util_*_spec.lua", excluded=("#mod_bosh", "#storage", "#SLOW")
            ),
        ),
    ),
    Library(
        "awesome gears",
        "awesome",
        path=("lib",),
        modules=("gears/*.lua",),
        suites=(_busted("spec/gears/*_spec.lua"),),
    ),
    Library(
        "ldoc",
        "lua-ldoc",
        modules=("ldoc/**/*.lua",),
        needs=("penlight", "markdown"),
    ),
    Library(
        "logging",
        "lua-logging",
        path=("src",),
        suites=(
            Suite(Kind.SCRIPT, "tests/test.lua", work="tests"),
            Suite(Kind.SCRIPT, "tests/testConsole.lua", work="tests"),
        ),
    ),
    Library("markdown", "deb:lua-markdown", path=_DEBIAN),
    Library("basexx", "deb:lua-basexx", path=_DEBIAN),
    Library(
        "luasocket's url and ltn12",
        "luasocket",
        path=("src",),
        modules=("ltn12.lua", "url.lua", "headers.lua", "mbox.lua"),
        suites=(Suite(Kind.SCRIPT, "test/ltn12test.lua", work="test"),),
    ),
    Library("luarocks", "luarocks", path=("src",), modules=("luarocks/**/*.lua",)),
    Library(
        "fun, lupa, tableshape",
        "rspamd",
        path=("contrib/lua-fun", "contrib/lua-lupa", "contrib/lua-tableshape"),
    ),
    Library("cgilua", "deb:lua-cgi", path=_DEBIAN),
    Library("wsapi", "deb:lua-wsapi", path=_DEBIAN, needs=("coxpcall",)),
    Library("orbit", "deb:lua-orbit", path=_DEBIAN, needs=("wsapi",)),
    Library(
        "lua-json",
        "lua-json",
        path=("lua",),
        suites=(
            Suite(Kind.XUNIT, "tests/lunit-*.lua", work="tests", modules="^lunit%-"),
        ),
    ),
    Library("premake", "premake4", path=("src",), modules=("base/*.lua",)),
    Library(
        "scripts in their style",
        "own:idioms",
        without=("spec",),
        suites=(Suite(Kind.XUNIT, "spec/*.lua"),),
    ),
)

_QUICK: Final = (
    Library("Debian's penlight", "deb:lua-penlight", path=_DEBIAN),
    Library(
        "Debian's luassert", "deb:lua-luassert", path=_DEBIAN, needs=("Debian's say",)
    ),
    Library("Debian's say", "deb:lua-say", path=_DEBIAN),
    Library("Debian's MessagePack", "deb:lua-messagepack", path=_DEBIAN),
    Library("Debian's argparse", "deb:lua-argparse", path=_DEBIAN),
    Library("Debian's inspect", "deb:lua-inspect", path=_DEBIAN),
)

LIBRARIES: Final = {library.name: library for library in _ALL}
"""What the table is of."""

QUICK: Final = {library.name: library for library in _QUICK}
"""What is fetched in seconds, and so tried each time."""

CATALOGUE: Final = {**LIBRARIES, **QUICK}
