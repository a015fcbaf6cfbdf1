"""`python -m tests.bench.unbound run` runs policyhub without its rate limit, for a hub without quotas."""

from policyhub.cli.main import main
from policyhub.securityhub import rate_limit
from policyhub.securityhub.rate_limit import Quota

ENDLESS = Quota(rate=100_000, burst=100_000)

if __name__ == "__main__":
    rate_limit.IMPORTS = rate_limit.READS = ENDLESS
    main()
