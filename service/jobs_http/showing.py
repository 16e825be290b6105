"""Jobs as clients see them: without the folders of the server, nor signatures in URLs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ebm.data.streams.place import without_credentials
from service.jobs.job import Job
from service.jobs.places import RESULTS, UPLOADS


def shown(job: Job, data_dir: Path) -> dict[str, Any]:
    """The job as JSON; an upload is upload:NAME, a result that the server keeps result:NAME, in every text;
    the output of training is model:NAME."""
    own = re.escape(str(data_dir)) + "/"
    made = re.compile(rf"{own}(?:({UPLOADS})|{RESULTS})/[^/\s]+/")
    rest = re.compile(own)

    def mask(value: Any) -> Any:
        if isinstance(value, str):
            named = made.sub(lambda found: "upload:" if found[1] else "result:", value)
            return rest.sub("", named)
        if isinstance(value, dict):
            return {key: mask(item) for key, item in value.items()}
        return [mask(item) for item in value] if isinstance(value, list) else value

    document = mask(job.model_dump(mode="json"))
    if job.kind == "train":
        document["output"] = f"model:{job.model}"
    for field in ("input", "output"):
        if document[field] is not None:
            document[field] = without_credentials(document[field])
    return document
