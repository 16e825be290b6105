"""Files of any size, read a block at a time: `open_source`, and what it returns."""

from ebm.data.streams.protocol import Bad, Block, Mark, Source

__all__ = ["Bad", "Block", "Mark", "Source"]
