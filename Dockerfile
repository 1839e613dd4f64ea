# The API, the worker and the migrations are one image: `statewright api`, `worker`, `migrate`.
FROM python:3.11-slim AS build
RUN pip install --no-cache-dir uv==0.13.8
WORKDIR /src
ENV UV_PROJECT_ENVIRONMENT=/opt/statewright UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
# The dependencies first: this layer changes only with the lock file.
COPY pyproject.toml uv.lock README.md ./
RUN uv sync --frozen --no-dev --no-install-project --compile-bytecode
COPY app app
COPY migrations migrations
RUN uv sync --frozen --no-dev --no-editable --compile-bytecode

FROM python:3.11-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin statewright
COPY --from=build /opt/statewright /opt/statewright
ENV PATH=/opt/statewright/bin:$PATH PYTHONUNBUFFERED=1 STATEWRIGHT_API__HOST=0.0.0.0
USER statewright
EXPOSE 8000
# STATEWRIGHT_API__PORT moves the port; a worker has none: switch the check off for it.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["python", "-c", \
  "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ.get('STATEWRIGHT_API__PORT', 8000)}/health/live\", timeout=2)"]
ENTRYPOINT ["statewright"]
CMD ["api"]
