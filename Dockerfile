# The base brings Python 3.11 or later, and for the first stage venv and pip:
#   docker build .
#   docker build --build-arg BASE=registry.example/python:3.13 .
# Behind a package index of your own, hand over pip's settings as secrets (in pip.conf: cert = /run/secrets/ca.pem);
# they stay out of every layer:
#   docker build --secret id=pip.conf,src=pip.conf --secret id=ca.pem,src=ca.pem .
ARG BASE=docker.io/library/python:3.13.9-slim-trixie

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python3 -m venv /tools && python3 -m venv --without-pip /opt/policyhub
COPY requirements/ requirements/
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.pem \
    /tools/bin/pip --python /opt/policyhub/bin/python install \
      --require-hashes --only-binary :all: -r requirements/run.lock \
 && awk '/^[a-z]/ { keep = /^(hatchling|packaging|pathspec|pluggy|tomlkit|trove-classifiers)==/ } keep' requirements/dev.lock >backend.lock \
 && /tools/bin/pip install --require-hashes --only-binary :all: -r backend.lock
COPY pyproject.toml README.md LICENSE ./
COPY operator/ operator/
RUN /tools/bin/pip wheel --no-index --no-build-isolation --no-deps --wheel-dir /dist . \
 && /tools/bin/pip --python /opt/policyhub/bin/python install --no-index --no-deps /dist/*.whl

FROM ${BASE}
ARG VERSION=
ARG REVISION=
LABEL org.opencontainers.image.title="policyhub" \
      org.opencontainers.image.description="Kubernetes policy violations as AWS Security Hub CSPM findings (ASFF)" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# What installs packages has no place where nothing is to be installed.
RUN find / -xdev \( -path '*/ensurepip' -o -path '*/site-packages/pip' -o -path '*/site-packages/pip-*' \
      -o -path '*/site-packages/setuptools*' -o -path '*/python-wheels' -o -path '*/bin/pip*' \) -prune -exec rm -rf {} +
COPY --from=build /opt/policyhub /opt/policyhub
ENV PATH=/opt/policyhub/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["policyhub"]
CMD ["run"]
