"""A detector on disk and back: JSON and safetensors only, nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from ebm.calibration import Calibration
from ebm.detector import Detector, SamplingState
from ebm.energies import Expert, ProductOfExperts
from ebm.energies.product import Link
from ebm.errors import BadArtifact, EBMError
from ebm.manifest import FORMAT_VERSION, Manifest, Term

MANIFEST, WEIGHTS, CALIBRATION, CARD = (
    "manifest.json",
    "weights.safetensors",
    "calibration.safetensors",
    "card.md",
)
V = TypeVar("V")
DEFAULT = "default"  # a file beside the versions that names the one served without asking


@dataclass(frozen=True)
class ModelEntry:
    """One published version in a models folder."""

    name: str
    version: str
    path: Path
    default: bool


def build_energy(
    terms: tuple[Term, ...], shape: tuple[int, ...], link: Link = "linear", temperature: float = 1.0
) -> ProductOfExperts:
    """The product that a manifest describes, with fresh weights. A term's weight is shared among its noise levels."""
    experts: list[Expert] = []
    for term in terms:
        levels = [(s, False) for s in term.sigmas] + [(s, True) for s in term.local_sigmas]
        share = term.weight / max(len(levels), 1)
        experts += [Expert(term.name, s, share, local) for s, local in levels or [(None, False)]]
    return ProductOfExperts(
        {term.name: term.energy.build(shape) for term in terms}, experts, link, temperature
    )


# -- writing --------------------------------------------------------------------------------------------------------


def publish(detector: Detector, models_dir: Path | str, card: str) -> Path:
    """Write `models_dir/<name>/<version>/` beside and rename it into place; a version never changes afterwards.

    Raises:
        BadArtifact: the version exists already, or the folder cannot be written.
    """
    target = Path(models_dir) / detector.name / detector.version
    if target.exists():
        raise BadArtifact(f"{target}: this version is published already; choose another 'version'")
    tensors = {f"energy.{k}": v.contiguous().cpu() for k, v in detector.energy.state_dict().items()}
    if detector.manifest.weights == "float16":  # `ebm.fitting` rounded them to it
        half = {
            k: v.half() for k, v in tensors.items() if k.startswith("energy.terms.") and v.is_floating_point()
        }
        tensors |= half
    if detector.sampling is not None:
        state = detector.sampling
        tensors |= {"sampling.mean": state.mean.cpu(), "sampling.sd": state.sd.cpu()}
        if state.level_offsets is not None:
            tensors["sampling.level_offsets"] = state.level_offsets.cpu()
    arrays = {f"preprocessing.{k}": v for k, v in detector.preprocessor.arrays().items()}
    arrays |= {f"calibration.{k}": v for k, v in detector.calibration.arrays().items()}
    contents = {
        WEIGHTS: save_tensors(tensors),
        CALIBRATION: save_arrays(arrays),
        CARD: card.encode(),
    }
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    manifest = detector.manifest.model_copy(update={"files": hashes})
    contents[MANIFEST] = (json.dumps(manifest.model_dump(mode="json"), indent=1) + "\n").encode()
    beside = target.parent / f".{detector.version}.{os.getpid()}.tmp"
    try:
        beside.mkdir(parents=True)
        for name, data in contents.items():
            (beside / name).write_bytes(data)
        os.replace(beside, target)
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise BadArtifact(f"{target}: cannot be written ({error})") from None
    return target


# -- reading --------------------------------------------------------------------------------------------------------


def read_manifest(path: Path | str) -> Manifest:
    """Raises BadArtifact where `path` holds no manifest that this version of the library understands."""
    file = Path(path) / MANIFEST
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        raise BadArtifact(f"{file}: missing") from None
    except OSError as error:
        raise BadArtifact(f"{file}: not readable as JSON ({error})") from None
    return parse_manifest(data, str(file))


def parse_manifest(data: bytes, source: str) -> Manifest:
    """The manifest in the bytes of a manifest.json; `source` names it in errors.

    Raises:
        BadArtifact: not JSON, or no manifest that this version of the library understands.
    """
    try:
        values = json.loads(data)
        found = values.get("format_version") if isinstance(values, dict) else None
        if found != FORMAT_VERSION:
            raise BadArtifact(f"{source}: format version {found!r}; this library reads {FORMAT_VERSION}")
        return Manifest.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadArtifact(f"{source}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (ValueError, RecursionError) as error:
        raise BadArtifact(f"{source}: not readable as JSON ({error})") from None


def verify(path: Path | str) -> Manifest:
    """Check every file against the manifest's sha256.

    Raises:
        BadArtifact: names the file that is missing or altered.
    """
    manifest = read_manifest(path)
    _read_verified(Path(path), manifest)
    return manifest


def _read_verified(path: Path, manifest: Manifest, check: bool = True) -> dict[str, bytes]:
    contents = {}
    for name in (WEIGHTS, CALIBRATION, CARD):
        if name not in manifest.files:
            raise BadArtifact(f"{path / MANIFEST}: lists no checksum for {name}")
        try:
            contents[name] = (path / name).read_bytes()
        except OSError as error:
            raise BadArtifact(f"{path / name}: cannot be read ({error.strerror})") from None
        if check and hashlib.sha256(contents[name]).hexdigest() != manifest.files[name]:
            raise BadArtifact(f"{path / name}: altered since it was published (sha256 differs)")
    return contents


def load(path: Path | str, device: str = "cpu", verify: bool = True) -> Detector:
    """The detector at `models/<name>/<version>`.

    Raises:
        BadArtifact: incomplete, altered, or of an unknown format version; names the file.
    """
    path = Path(path)
    manifest = read_manifest(path)
    contents = _read_verified(path, manifest, verify)
    try:
        arrays = load_arrays(contents[CALIBRATION])
        tensors = load_tensors(contents[WEIGHTS])
        preprocessor = manifest.preprocessing.build().load_arrays(_below("preprocessing.", arrays))
        energy = build_energy(manifest.terms, preprocessor.shape, manifest.link, manifest.link_temperature)
        energy.load_state_dict(_below("energy.", tensors))
        sampling = None
        if manifest.sampling is not None:
            state = {k: v.to(device) for k, v in _below("sampling.", tensors).items()}
            sampling = SamplingState(state["mean"], state["sd"], state.get("level_offsets"))
        calibration = Calibration.from_arrays(_below("calibration.", arrays))
    except EBMError as error:
        raise BadArtifact(f"{path}: {error}") from None
    except (SafetensorError, RuntimeError, KeyError, ValueError) as error:
        raise BadArtifact(f"{path}: weights do not fit the manifest ({str(error).splitlines()[0]})") from None
    return Detector(manifest, preprocessor, energy, calibration, sampling, torch.device(device))


def _below(prefix: str, values: dict[str, V]) -> dict[str, V]:
    return {k[len(prefix) :]: v for k, v in values.items() if k.startswith(prefix)}


# -- finding --------------------------------------------------------------------------------------------------------


def order(version: str) -> list[tuple[int, int, str]]:
    """Natural order: '10' after '9', '1.10' after '1.9'."""
    return [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in re.split(r"[._-]", version)]


def list_models(models_dir: Path | str) -> list[ModelEntry]:
    """Every version folder, by name and version, whether or not it loads. `default` marks the one a bare name means."""
    entries = []
    root = Path(models_dir)
    for folder in sorted(p for p in root.iterdir() if p.is_dir()) if root.is_dir() else []:
        found = [p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")]
        versions = sorted(found, key=order)
        named = folder / DEFAULT
        chosen = named.read_text(encoding="utf-8").strip() if named.is_file() else None
        default = chosen if chosen in versions else (versions[-1] if versions else None)
        entries += [ModelEntry(folder.name, v, folder / v, v == default) for v in versions]
    return entries


def resolve(models_dir: Path | str, name: str, version: str | None = None) -> Path:
    """The folder of a model by name, of its default version unless one is asked for.

    Raises:
        BadArtifact: no such model or version; lists those there are.
    """
    entries = list_models(models_dir)
    mine = [e for e in entries if e.name == name]
    if not mine:
        names = ", ".join(sorted({e.name for e in entries})) or "none"
        raise BadArtifact(f"no model '{name}' in {models_dir} (there: {names})")
    for entry in mine:
        if entry.version == version or (version is None and entry.default):
            return entry.path
    versions = ", ".join(e.version for e in mine)
    raise BadArtifact(f"model '{name}' has no version '{version}' (there: {versions})")
