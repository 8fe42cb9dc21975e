"""The whole farm behind nginx while everything goes wrong: what every request got."""
