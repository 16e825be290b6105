"""Which models are served, what each says about itself, and the limits."""

from __future__ import annotations

from fastapi import APIRouter

from service.dependencies import LoadedDep, RegistryDep, SettingsDep
from service.registry import Loaded, Registry
from service.schemas.models import Limits, ModelDetail, ModelList, ModelSummary, RefusedModel
from service.schemas.problems import problems

router = APIRouter(prefix="/v1", tags=["models"])


@router.get("/models")
async def list_models(registry: RegistryDep) -> ModelList:
    """Every model by its default version, and the versions that were refused, with the reason."""
    return ModelList(
        models=[ModelSummary.of(one, registry.versions(one.name)) for one in registry.served()],
        refused=[
            RefusedModel(name=one.name, version=one.version, reason=one.reason)
            for one in registry.refused.values()
        ],
    )


@router.get("/models/{name}", responses=problems(404, 503))
async def show_model(loaded: LoadedDep, registry: RegistryDep) -> ModelDetail:
    """The version that the bare name means, with its manifest."""
    return _detail(loaded, registry)


@router.get("/models/{name}/versions/{version}", responses=problems(404, 503))
async def show_version(name: str, version: str, registry: RegistryDep) -> ModelDetail:
    """One version, with its manifest."""
    return _detail(await registry.get(name, version), registry)


@router.get("/limits")
async def limits(settings: SettingsDep) -> Limits:
    """How much one request may ask for."""
    return Limits.of(settings)


def _detail(loaded: Loaded, registry: Registry) -> ModelDetail:
    summary = ModelSummary.of(loaded, registry.versions(loaded.name))
    manifest = loaded.detector.manifest.model_dump(mode="json")
    return ModelDetail(**summary.model_dump(), is_default=loaded.is_default, manifest=manifest)
