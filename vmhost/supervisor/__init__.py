"""The supervisor: starts VM hosts, watches them, kills and replaces them."""
