"""The real broker and the real dispatch behind the interface of a simulator.

Everything is translated one to one; nothing is decided here. What the interface leaves
out is filled in as it is when all is well: files are there and readable, supervisors
are alive, fronts have room for every request.
"""

from bench.simulate.controlplane import Broker
from bench.simulate.dataplane import Front

__all__ = ["Broker", "Front"]
