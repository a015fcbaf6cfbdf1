# The local Security Hub (dev/hub) for a cluster of a test. Not for anything else: it has no passwords.
FROM docker.io/library/python:3.13.15-slim-trixie@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b
COPY requirements/run.lock requirements/dev.lock /tmp/
# What the operator has, and what verifies the tokens of service accounts.
RUN awk '/^[a-z]/ { keep = /^(cryptography|cffi|pycparser)==/ } keep' /tmp/dev.lock >/tmp/hub.lock \
 && pip install --no-cache-dir --require-hashes --only-binary :all: -r /tmp/run.lock -r /tmp/hub.lock
WORKDIR /hub
COPY dev/__init__.py dev/
COPY dev/hub/ dev/hub/
USER 65532:65532
ENV PYTHONUNBUFFERED=1
EXPOSE 8080
ENTRYPOINT ["python", "-m", "dev.hub"]
