"""Django's PostgreSQL, which asks the server after its health only when there is a sign of trouble.

Django sends a statement of its own before the first one of each request, lest the connection has
broken meanwhile. An idle connection has nothing to read: when the server has ended it, or died, the
farewell or the end of the stream lies there. So a look at the socket is enough, and costs no
round trip. A link that is cut without a word is found by the statement itself, as it would be by
Django's.
"""

import select

from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    """See the module."""

    def close_if_health_check_failed(self) -> None:
        """Close a connection that is not usable any more, once in a request."""
        if self._is_quiet():
            self.health_check_done = True
        super().close_if_health_check_failed()

    def _is_quiet(self) -> bool:
        if self.connection is None or self.connection.closed:
            return False
        poll = select.poll()
        poll.register(self.connection.fileno(), select.POLLIN)
        return not poll.poll(0)
