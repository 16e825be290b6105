"""Files of any size, read a block at a time: `open_source`, and what it returns."""

from ebm.data.streams.open import open_source
from ebm.data.streams.places import Place, is_url, open_place
from ebm.data.streams.protocol import START, Bad, Block, Mark, Source

__all__ = ["START", "Bad", "Block", "Mark", "Place", "Source", "is_url", "open_place", "open_source"]
