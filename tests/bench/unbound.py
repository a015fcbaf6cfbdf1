"""`python -m tests.bench.unbound run`: policyhub with a pace that never holds it back, for a hub without quotas."""

from policyhub.cli import main
from policyhub.hub import bucket
from policyhub.hub.bucket import Quota

ENDLESS = Quota(rate=100_000, burst=100_000)

if __name__ == "__main__":
    bucket.IMPORTS = bucket.READS = ENDLESS
    main()
