"""What the gallery shows, objective by objective, and what it leaves to other places."""

from __future__ import annotations

from ebm.gallery import by_chains, by_contrast, by_scores
from ebm.gallery.entry import Entry

ENTRIES: tuple[Entry, ...] = (*by_chains.ENTRIES, *by_scores.ENTRIES, *by_contrast.ENTRIES)

# Kinds of objectives that rows of two numbers cannot show, and where they can be seen.
ELSEWHERE: dict[str, str] = {
    "contrast": "tells images from corrupted images; see [docs/images.md](../images.md).",
    "restoration": "trains a denoiser of images; see [docs/images.md](../images.md).",
    "structured": "infers one part of a pair from the other; see [docs/family/structured.md](../family/structured.md).",
    "structured_dsm": "the same by denoising, likewise of pairs.",
    "greedy": "trains a deep belief network, on binary rows; see [docs/family/boltzmann.md](../family/boltzmann.md).",
}
