"""What lies below a root beside scripts: files for everybody, and files for nobody."""

import os
from pathlib import Path
from typing import Final

STYLE: Final = "body { color: black }\n"
TOKEN: Final = "token of a certificate authority"
SECRET: Final = "nobody must see this"
RAN: Final = "ran as Lua"

NOT_HERE: Final = "our own page: not here\n"
SORRY: Final = "our own page: sorry\n"

# the word is made when the text runs, so that the text itself does not have it
_LUA: Final = f"-- {SECRET}\nfunction main(e, con) con:puts('ran' .. ' as Lua') end\n"

_FILES: Final = {
    "style.css": STYLE,
    "deep/er/style.css": STYLE,
    "sub/index.lua": _LUA,
    "plain/index.html": "a plain page\n",
    ".well-known/acme-challenge/token": TOKEN,
    "upload/evil.jpg": _LUA,
    "upload/evil": _LUA,
    "404.html": NOT_HERE,
    **dict.fromkeys(["500.html", "502.html", "503.html", "50x.html"], SORRY),
}

HIDDEN: Final = (
    ".env",
    ".git/config",
    ".git/hook.lua",
    "sub/.htpasswd",
    "settings.toml",
    "page.etlua",
    "old.lua.bak",
    "copy.lua~",
    "SHOUT.LUA",
    "NOTES",
    "data.sqlite",
    ".well-known/.git/config",
)
"""Files whose content no request gets."""

THEIRS: Final = "theirs.txt"
"""A symbolic link to a file of somebody else."""

OURS: Final = "ours.txt"
"""A symbolic link to a file of its own owner."""


def lay(root: Path) -> None:
    """Put it all below a root."""
    hidden = dict.fromkeys(HIDDEN, _LUA)
    for name, text in {**_FILES, **hidden}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    # beside the root, as another tenant's root would be
    neighbour = root.parent / "neighbour.txt"
    neighbour.write_text(SECRET)
    if os.geteuid() == 0:
        os.chown(neighbour, 65534, 65534)
        (root / THEIRS).symlink_to(neighbour)
    else:
        (root / THEIRS).symlink_to("/etc/hostname")
    (root / OURS).symlink_to(root / "style.css")
