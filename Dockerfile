FROM python:3.11-slim

# From a plain package index, torch for x86-64 Linux brings the CUDA libraries along. For a small CPU image give
# PyTorch's index of CPU wheels (https://pytorch.org/get-started, "CPU") as --build-arg PIP_EXTRA_INDEX_URL=...
ARG PIP_EXTRA_INDEX_URL=""
# Of pyproject.toml's, with commas: s3 for models and files at s3://, ray to spread jobs over a Ray cluster.
ARG EXTRAS="otel"
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1 \
    OMP_NUM_THREADS=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    EBM_HOST=0.0.0.0 \
    EBM_PORT=8000 \
    EBM_CACHE_DIR=/tmp/models \
    EBM_DATA_DIR=/data

WORKDIR /app

# The slow layer first: it changes only with the pins.
COPY constraints.txt ./
RUN pip install -c constraints.txt torch

COPY pyproject.toml README.md LICENSE ./
COPY ebm ebm
COPY service service
RUN pip install -c constraints.txt ".[${EXTRAS}]" \
    && useradd --system --uid 10001 --no-create-home ebm \
    && install -d -o ebm /data

# Mount a volume over /app/models to serve your own. The owner matters to workers only: a training job publishes here.
COPY --chown=ebm models models

USER 10001
# Jobs: their database (SQLite, unless EBM_DATABASE_URL names another), uploads, results and runs.
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=3s --start-period=30s \
  CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"EBM_PORT\"]}/healthz', timeout=2)"]
# Every setting is a variable: docs/settings.md. SIGTERM finishes accepted work, within EBM_DRAIN_S seconds.
# Workers of the same image: `ebm worker`.
CMD ["ebm", "serve"]
