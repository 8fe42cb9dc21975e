"""On what terms a front deals with its clients, as the settings have them."""

# Compiled.

from fcgi import arrival
from fcgi.cgi import pages, reply
from fcgi.quota import Quota
from luafarm.config.settings import Settings


class Terms:
    """Limits, and what replies and error pages may show."""

    def __init__(self, settings: Settings) -> None:
        front = settings.front
        self.limits = arrival.limits(front)
        self.reply_memory = front.reply_memory  # bytes, for each client
        self.quota = Quota(front.spool)
        self.heads = reply.Heads(front.max_reply_header)
        #: whose replies may name files and other locations to the web server
        self.trusted_pools = frozenset(
            [name for name, pool in settings.pool.items() if pool.trust == "trusted"]
        )
        self.show_errors = front.show_errors
        self.directories = pages.Directories(settings.pool.values())
