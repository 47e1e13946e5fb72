# One image for both processes. The same sources give the same files: hashes pin the packages, and bytecode has no
# timestamps. Pin the base image by digest with
#   docker build --build-arg BASE=python:3.13-slim@sha256:… .
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
WORKDIR /src
RUN python -m venv --without-pip /opt/asya
COPY image.lock ./
RUN pip --python /opt/asya install --no-cache-dir --no-compile --require-hashes -r image.lock
COPY pyproject.toml README.md LICENSE ./
COPY certs certs
COPY cli cli
COPY controller controller
COPY crds crds
COPY dashboard dashboard
COPY files files
COPY injection injection
COPY kube kube
COPY messages messages
COPY runtime runtime
COPY sandbox sandbox
COPY telemetry telemetry
COPY webhook webhook
RUN pip --python /opt/asya install --no-cache-dir --no-compile --no-deps . \
    && /opt/asya/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/asya/lib

# Extras of the package, such as tracing. image.lock does not pin their dependencies.
ARG EXTRAS=""
# hadolint ignore=DL3013
RUN if [ -n "$EXTRAS" ]; then pip --python /opt/asya install --no-cache-dir --no-compile ".[$EXTRAS]"; fi

FROM ${BASE}
LABEL org.opencontainers.image.title="asya-operator" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/asya /opt/asya
ENV PATH=/opt/asya/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
ENTRYPOINT ["asya-operator"]
CMD ["--help"]
