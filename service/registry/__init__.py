"""Which models are loaded: a folder or a URL of published artefacts, watched, as detectors ready to answer."""

from service.registry.registry import Registry
from service.registry.slots import Changes, Loaded, Numbers, Refused, Slot, State

__all__ = ["Changes", "Loaded", "Numbers", "Refused", "Registry", "Slot", "State"]
