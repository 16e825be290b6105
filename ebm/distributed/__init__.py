"""A batch run spread over the cores, GPUs or machines of a Ray cluster: `run_ray` (extra `ray`)."""

from ebm.distributed.run import run_ray

__all__ = ["run_ray"]
