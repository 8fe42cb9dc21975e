"""The scripts' files: read, watched, and followed through links."""
