# The base is pinned by digest; Dependabot renews tag and digest of this line. Another one serves too, if it is of Debian's
# family and has Python 3.11 or later with venv, and CA certificates:
#   docker build --build-arg BASE=registry.example/python:3.13-slim .
# Behind a package index of your own, hand over pip's settings as secrets (in pip.conf: cert = /run/secrets/ca.pem);
# they stay out of every layer:
#   docker build --secret id=pip.conf,src=pip.conf --secret id=ca.pem,src=ca.pem .
ARG BASE=pinned
FROM docker.io/library/python:3.13.15-slim-trixie@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b AS pinned

FROM ${BASE} AS build
ARG SOURCE_DATE_EPOCH=0
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PIP_NO_COMPILE=1
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
COPY dev/image/root.py ./
RUN python3 root.py /opt/policyhub /root-of-image

# Only what the operator loads: no shell, no package manager, no pip.
FROM scratch
ARG VERSION=
ARG REVISION=
LABEL org.opencontainers.image.title="policyhub" \
      org.opencontainers.image.description="Kubernetes policy violations as AWS Security Hub CSPM findings (ASFF)" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /root-of-image /
ENV PATH=/opt/policyhub/bin \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["policyhub"]
CMD ["run"]
