# One image for every service: `docker run telemetry-stack broker`, `proxy`, `collector`, ...
# Runs as user 10001 on a read-only root; what is written goes to /data, and to /tmp.

FROM python:3.11-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/telemetry
COPY requirements.image.lock requirements.lock ./
RUN /opt/telemetry/bin/pip install --require-hashes -r requirements.image.lock
COPY pyproject.toml README.md ./
COPY api api
COPY broker broker
COPY cli cli
COPY collector collector
COPY common common
COPY proxy proxy
COPY streamer streamer
# The tool that builds the wheel is the locked one, and stays behind with its stage.
RUN python -m venv /build \
 && sed -n '/^setuptools==/,/[^\\]$/p' requirements.lock > build.lock \
 && /build/bin/pip install --require-hashes -r build.lock \
 && /build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels .
RUN /opt/telemetry/bin/pip install --no-deps /wheels/*.whl

FROM python:3.11-slim-bookworm
RUN groupadd --gid 10001 telemetry \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin telemetry \
 && install -d -o telemetry -g telemetry -m 0750 /data
COPY --from=build /opt/telemetry /opt/telemetry
ENV PATH=/opt/telemetry/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 7060 7070 7080 7090 8080
ENTRYPOINT ["telemetry"]
CMD ["--help"]
