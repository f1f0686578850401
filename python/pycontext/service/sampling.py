"""Which sessions are among those that are looked at."""

from __future__ import annotations

import hashlib

__all__ = ["fraction_of"]


def fraction_of(session_id: str, salt: str) -> float:
    """Return a number from 0 to below 1 that a session always has, on every machine; another for another salt.

    Whoever takes the sessions below a rate takes that part of them, each as a whole, and with a higher rate the same
    ones and more.
    """
    found = hashlib.blake2b(session_id.encode(), key=hashlib.blake2b(salt.encode()).digest(), digest_size=8).digest()
    # 53 bits are what a float holds exactly, so that none is rounded up to 1.
    return (int.from_bytes(found) >> 11) / 2**53
