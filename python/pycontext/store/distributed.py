"""The article's store over ours."""

from __future__ import annotations

from typing import Final

from pycontext.block import ContextBlock
from pycontext.errors import UnknownBlockError, UnknownSessionError
from pycontext.package import ContextPackage
from pycontext.store.base import ContextStore
from pycontext.store.url import open_store
from pycontext.store.version import Version

__all__ = ["DistributedContextStore"]


class DistributedContextStore:
    """Sessions in Redis, under the article's four methods.

    Args:
        redis_url: of the server; any address that `open_store` takes.
        ttl: seconds that a session lives after the last write.
        namespace: keeps tenants or environments apart.

    Attributes:
        store: the `ContextStore` that does the work.

    Raises:
        ValidationError: an argument is outside its limits.
    """

    def __init__(self, redis_url: str, ttl: float = 3600, *, namespace: str = "default") -> None:
        self.store: Final[ContextStore] = open_store(redis_url, ttl=ttl, namespace=namespace)

    def store_session(self, session: ContextPackage) -> Version:
        """Write a session as a whole; over the state that this very package was loaded or stored as.

        Raises:
            ConflictError: somebody else has written meanwhile.
        """
        return self.store.save(session)

    def retrieve_session(self, session_id: str) -> ContextPackage | None:
        """Return a session; None where there is none."""
        try:
            return self.store.load(session_id)
        except UnknownSessionError:
            return None

    def update_block(self, session_id: str, block: ContextBlock) -> Version:
        """Put a block in the place of the one of its id, or behind all others where there is none.

        Raises:
            UnknownSessionError: there is no such session.
            ConflictError: somebody else has written meanwhile.
        """
        try:
            return self.store.update_block(session_id, block)
        except UnknownBlockError:
            return self.store.append(session_id, [block])

    def delete_session(self, session_id: str) -> None:
        """Remove a session and all its blocks."""
        self.store.delete(session_id)
