"""Every objective on sets in the plane whose density is known, as one page of pictures and figures."""

from ebm.gallery.entries import ELSEWHERE, ENTRIES
from ebm.gallery.entry import Entry
from ebm.gallery.run import make_gallery

__all__ = ["ELSEWHERE", "ENTRIES", "Entry", "make_gallery"]
