"""luafarm.form: what forms send, whole and in pieces, within limits."""

import pytest

from luafarm.dialects import Dialect
from tests.vmhost.states import Op, Reply, Script, every_dialect, pair
from vmhost.lua.limits import StateLimits

URLENCODED = "application/x-www-form-urlencoded"

SHOW = """
local form = require "luafarm.form"
function main(env, con)
  local fields, files, list = form.parse(env, con%s)
  if not fields then con:puts(list .. " " .. files) return end
  for _, item in ipairs(list) do
    con:puts(item.name .. "=")
    if item.filename then
      con:puts("<" .. item.filename .. "|" .. item.type .. "|" .. item.bytes .. "|"
        .. tostring(item.data) .. ">")
    else
      con:puts(item.value)
    end
    con:puts(";")
    assert((files[item.name] or {}).name == item.name or fields[item.name])
  end
end
"""


def part(disposition: str, content: bytes, more: str = "") -> bytes:
    head = f"--XX\r\nContent-Disposition: form-data; {disposition}\r\n{more}\r\n"
    return head.encode() + content + b"\r\n"


def multipart(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--XX--\r\n"


def send(
    script: Script,
    body: bytes,
    media: str = "multipart/form-data; boundary=XX",
    *,
    pulled: bool = False,
    **more: str,
) -> Reply:
    values: dict[str, str] = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": media,
        "CONTENT_LENGTH": str(len(body)),
        **more,
    }
    blob = b"".join(pair(k.encode(), v.encode()) for k, v in values.items())
    return script.run(blob, body, pulled=pulled)


def show(body: bytes, media: str = "multipart/form-data; boundary=XX") -> str:
    return send(Script(SHOW % ""), body, media).text


def limited(limits: str, body: bytes, media: str = URLENCODED) -> str:
    return send(Script(SHOW % (", { " + limits + " }")), body, media).text


@every_dialect
def test_a_multipart_form_has_fields_and_files(dialect: Dialect) -> None:
    body = multipart(
        part('name="a"', b"one"),
        part('name="empty"', b""),
        part(
            'name="f"; filename="x.txt"', b"a\r\n--X\0b", "Content-Type: text/plain\r\n"
        ),
        part('name="none"; filename=""', b"", "Content-Type: x/y\r\n"),
        part('name="a"', b"two"),
    )
    script = Script(SHOW % "", dialect)
    expected = "a=one;empty=;f=<x.txt|text/plain|8|a\r\n--X\0b>;a=two;"
    assert send(script, body).text == expected
    assert send(script, body, pulled=True).text == expected


@every_dialect
def test_an_urlencoded_form_has_fields(dialect: Dialect) -> None:
    script = Script(SHOW % "", dialect)
    body = b"a=1&b=x+y%26%zz&c&=d&&a=2"
    for pulled in (False, True):
        reply = send(script, body, URLENCODED + "; charset=utf-8", pulled=pulled)
        assert reply.text == "a=1;b=x y&%zz;c=;=d;a=2;"


def test_of_equal_names_the_last_counts() -> None:
    source = """
    local form = require "luafarm.form"
    function main(env, con) con:puts(form.parse(env, con).a) end
    """
    assert send(Script(source), b"a=1&a=2", URLENCODED).text == "2"


def test_pieces_of_any_size_make_the_same_form() -> None:
    body = multipart(
        b"preamble\r\n",
        part('name="a"', b"-\r\n--X\r\n\r\n"),
        part('name="f"; filename="f"', b"\r\n" * 9),
    )
    whole = show(body)
    assert whole == (
        "a=-\r\n--X\r\n\r\n;f=<f|application/octet-stream|18|" + "\r\n" * 9 + ">;"
    )
    for size in range(1, 12):
        script = Script(SHOW % "", limits=StateLimits(read_bytes=size))
        assert send(script, body, pulled=True).text == whole, size


@every_dialect
def test_a_file_comes_in_pieces_to_who_wants_it_so(dialect: Dialect) -> None:
    source = """
    local form = require "luafarm.form"
    function main(env, con)
      local most, sum, ends = 0, 0, 0
      local fields, files = form.parse(env, con, { on_file = function(file, piece)
        if not piece then ends = ends + 1 return end
        most, sum = math.max(most, #piece), sum + #piece
        assert(file.bytes == sum and file.filename == "f" and not file.data)
      end })
      con:puts(string.format("%d %d %s %s %d", sum, ends, tostring(most <= 70000),
        fields.a, files.f.bytes))
    end
    """
    size = 3 << 20
    body = multipart(
        part('name="f"; filename="f"', b"x" * size), part('name="a"', b"b")
    )
    limits = StateLimits(memory_bytes=2 << 20)
    reply = send(Script(source, dialect, limits=limits), body, pulled=True)
    assert reply.text == f"{size} 1 true b {size}"
    assert Op.READ in reply.operations


def test_the_taker_of_a_file_can_stop_it() -> None:
    script = Script(
        SHOW % ", { on_file = function(f) return false, 'no ' .. f.filename end }"
    )
    body = multipart(part('name="f"; filename="f.exe"', b"MZ"))
    assert send(script, body).text == "400 form.parse: no f.exe"


def test_an_error_of_the_taker_is_the_scripts() -> None:
    script = Script(
        SHOW % ", { on_file = function() error({ message = 'm', status = 1 }) end }"
    )
    body = multipart(part('name="f"; filename="f"', b"x"))
    assert "error object" in send(script, body).failure.message


@pytest.mark.parametrize(
    ("limits", "body", "says"),
    [
        ("bytes = 3", b"a=12", "413 form.parse: body of 4 bytes; limits.bytes is 3"),
        ("fields = 1", b"a&b", "413 form.parse: 2 fields; limits.fields is 1"),
        (
            "field_bytes = 2",
            b"a=1",
            "413 form.parse: fields of more than 2 bytes; limits.field_bytes is 2",
        ),
    ],
)
def test_an_urlencoded_form_over_a_limit_says_which(
    limits: str, body: bytes, says: str
) -> None:
    assert limited(limits, body) == says


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ("files = 1", "413 form.parse: 2 files; limits.files is 1"),
        ("fields = 0", "413 form.parse: 1 fields; limits.fields is 0"),
        (
            "file_bytes = 4",
            "413 form.parse: file 'f.txt' of more than 4 bytes; limits.file_bytes is 4",
        ),
        (
            "field_bytes = 5",
            "413 form.parse: fields of more than 5 bytes at field 'abc'; "
            "limits.field_bytes is 5",
        ),
        (
            "header_bytes = 20",
            "413 form.parse: part 1: header of more than 20 bytes; "
            "limits.header_bytes is 20",
        ),
    ],
)
def test_a_multipart_form_over_a_limit_says_which(limits: str, says: str) -> None:
    body = multipart(
        part('name="abc"', b"def"),
        part('name="f"; filename="f.txt"', b"12345"),
        part('name="g"; filename="g.txt"', b"1"),
    )
    assert limited(limits, body, "multipart/form-data; boundary=XX") == says


def test_a_body_longer_than_it_said_is_cut_off_at_the_limit() -> None:
    script = Script(SHOW % ", { bytes = 100 }")
    body = multipart(part('name="a"', b"x" * 200))
    text = send(script, body, pulled=True, CONTENT_LENGTH="").text
    assert text.startswith("413 form.parse: body of more than ")
    assert text.endswith("; limits.bytes is 100")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "the body ends before its first part"),
        (b"--XX\r\n", "the body ends within part 1"),
        (b"--YY\r\n\r\n", "the body ends before its first part"),
        (part('name="a"', b"x"), "the body ends within part 1"),
        (part('name="a"', b"x")[:-2], "the body ends within part 1"),
        (multipart(part("no=name", b"")), "part 1 has no name"),
        (multipart(part("name", b"")), "part 1 has no name"),
        (multipart(b"--XX\r\n\r\nx\r\n"), "part 1 has no name"),
        (multipart(b"--XXY\r\n\r\nx\r\n"), "part 1: its boundary goes on with 'Y'"),
        (
            multipart(part('name="a"', b"", "junk\r\n")),
            "part 1: header 'junk' is none",
        ),
        (
            multipart(part('name="a\0b"', b"")),
            "part 1: header 'Content-Disposition: form-data; name=\"a?b\"' is none",
        ),
    ],
)
def test_what_is_no_form_is_told(body: bytes, says: str) -> None:
    assert show(body) == f"400 form.parse: {says}"


@pytest.mark.parametrize(
    ("media", "says"),
    [
        (
            "multipart/form-data",
            "400 form.parse: content type 'multipart/form-data' has",
        ),
        (
            "multipart/form-data; boundary=" + "x" * 201,
            "400 form.parse: boundary of 201",
        ),
        (
            "text/plain",
            "415 form.parse: content type 'text/plain' is not that of a form",
        ),
    ],
)
def test_another_content_type_is_told(media: str, says: str) -> None:
    assert show(b"x", media).startswith(says)


def test_a_request_without_a_body_has_an_empty_form() -> None:
    script = Script(SHOW % "")
    assert script.run(b"").text == ""


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ('filename="a b.txt"', "a b.txt"),
        ("filename=plain.txt", "plain.txt"),
        ('filename="C:\\dir\\f.txt"', "f.txt"),
        ('filename="C:\\dir\\"', ""),
        ('filename="../../etc/passwd"', "passwd"),
        ('filename="a\\"b"', 'a"b'),
        ('filename="a;b=c"', "a;b=c"),
        ("filename=\"x\"; filename*=UTF-8''%e2%82%ac.txt", "\xe2\x82\xac.txt"),
        ('FileName="X"', "X"),
    ],
)
def test_names_of_files_are_read_as_they_are_sent(sent: str, name: str) -> None:
    text = show(multipart(part(f'name="f"; {sent}', b"1")))
    assert text == f"f=<{name}|application/octet-stream|1|1>;"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("nil, con", "bad argument #1 to 'parse' (env expected, got no value)"),
        ("env, {}", "bad argument #2 to 'parse' (con expected, got table)"),
        ("env, con, 5", "bad argument #3 to 'parse' (table expected, got number)"),
        ("env, con, { filed = 5 }", "form.parse: there is no limit 'filed'"),
        ("env, con, { files = 'x' }", "limits.files must be a number, 0 or more"),
        ("env, con, { on_file = 1 }", "limits.on_file must be a function"),
    ],
)
def test_wrong_use_is_an_error(arguments: str, says: str) -> None:
    source = (
        "local form = require 'luafarm.form'\n"
        f"function main(env, con) form.parse({arguments}) end"
    )
    failure = Script(source).run().failure
    assert says in failure.message
    assert failure.line == 2


@every_dialect
@pytest.mark.parametrize(
    "before", ["con:gets()", "con:read(1)", "form.parse(env, con)"]
)
def test_a_body_that_was_read_already_is_an_error(
    dialect: Dialect, before: str
) -> None:
    source = (
        "local form = require 'luafarm.form'\n"
        f"function main(env, con)\n{before}\nform.parse(env, con)\nend"
    )
    failure = send(Script(source, dialect), b"a=1&b=2", URLENCODED).failure
    assert failure.message == (
        "/srv/www/page.lua:4: the request's body has been read already: form.parse"
        " reads it itself"
    )
