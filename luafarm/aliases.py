"""Other names of script roots: the directories that symlinks lead to."""

# Compiled.

Alias = tuple[bytes, bytes]
"""(directory that a root really is, the root)."""


def named(aliases: dict[bytes, bytes], path: bytes) -> bytes:
    """Return the path by the name of its root, if an alias is in front of it.

    The longest one counts.
    """
    at = path.rfind(b"/")
    while at > 0:
        root = aliases.get(path[:at])
        if root is not None:
            return (b"" if root == b"/" else root) + path[at:]
        at = path.rfind(b"/", 0, at)
    return path
