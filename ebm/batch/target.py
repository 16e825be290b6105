"""Where a batch run puts what it makes, and what must not be there already."""

from __future__ import annotations

from dataclasses import dataclass

from ebm.batch.formats import SUFFIXES, Kind
from ebm.batch.journal import REJECTS, SUMMARY, read_json
from ebm.batch.spec import BatchSpec
from ebm.data.streams.place import Place
from ebm.data.streams.places import open_place
from ebm.errors import BadInput


@dataclass(frozen=True)
class Target:
    """place: a file where `single`, else a folder of parts; kind: their format."""

    place: Place
    kind: Kind
    single: bool

    @classmethod
    def of(cls, spec: BatchSpec) -> Target:
        """Raises BadInput for a name that says no format, and a place that cannot be written."""
        place = open_place(spec.output)
        suffix = place.suffix
        if suffix and suffix not in SUFFIXES:
            raise BadInput(
                f"{place}: the output must end in .csv or .parquet (or .csv.gz, .arrow, .npy), or have no suffix, "
                "for a folder of parts"
            )
        if not place.name:
            raise BadInput(f"{place}: names no file or folder")
        if getattr(place, "scheme", "") in ("http", "https"):
            raise BadInput(f"{place}: an http URL is only read")
        target = cls(place, SUFFIXES.get(suffix, spec.format), bool(suffix))
        if place.path is not None and not place.parent.is_dir():
            raise BadInput(f"{place}: the folder {place.parent} does not exist")
        if target.single and place.is_dir():
            raise BadInput(f"{place}: is a folder")
        if spec.input is not None:
            target._check_input(open_place(spec.input))
        return target

    @property
    def staging(self) -> Place:
        return self.place.with_name(f"{self.place.name}.partial")

    @property
    def summary(self) -> Place:
        return self._beside(SUMMARY)

    @property
    def rejects(self) -> Place:
        return self._beside(REJECTS)

    def _beside(self, name: str) -> Place:
        if not self.single:
            return self.place.joinpath(name)
        return self.place.with_name(f"{self.place.name}.{name.removeprefix('_')}")

    def check_free(self, overwrite: bool) -> None:
        """Raises BadInput where a folder is there that may not be replaced."""
        if self.single or not self.place.exists():
            return
        if not self.place.is_dir():
            raise BadInput(f"{self.place}: is a file; the name of a folder of parts has no suffix")
        if next(iter(self.place.iterdir()), None) is None:
            return
        if "run" not in (read_json(self.summary) or {}):
            raise BadInput(f"{self.place}: is a folder that is there already, and no output of a run")
        if not overwrite:
            raise BadInput(f"{self.place}: holds the output of an earlier run; say overwrite to replace it")

    def _check_input(self, given: Place) -> None:
        mine = [self.place, self.staging, self.summary, self.rejects]
        if any(given.same_as(one) for one in mine):
            raise BadInput(f"{self.place}: the output would be written onto the input")
        if given.path is None or self.place.path is None:
            return
        source, out, staging = given.path.resolve(), self.place.path.resolve(), self.staging.path
        if source in out.parents and source.is_dir():
            raise BadInput(f"{self.place}: the output lies inside the input folder {given}")
        if out in source.parents or (staging is not None and staging.resolve() in source.parents):
            raise BadInput(f"{self.place}: the input lies inside the output folder")
