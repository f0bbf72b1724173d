"""Measures `post-hot`: as `post`, with one payee for all."""

from tests.bench.post import measure_hot as measure

__all__ = ["measure"]
