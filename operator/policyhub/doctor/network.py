"""Proxies and certificate bundles in the environment.

Two libraries read them: aiohttp for API servers, botocore for AWS. Both use Python's urllib to apply NO_PROXY. urllib
knows host names, their suffixes and addresses; unlike other programs it does not know ranges (10.0.0.0/8).
"""

import ipaddress
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

from policyhub.cluster.formatting import counted
from policyhub.cluster.remedies import DOCTOR
from policyhub.doctor.result import CheckResult, fine, problem

BUNDLES = {
    "AWS_CA_BUNDLE": "AWS",
    "REQUESTS_CA_BUNDLE": "AWS, where AWS_CA_BUNDLE is not set",
    "SSL_CERT_FILE": "API servers whose kubeconfig names no authority",
}


def proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """As urllib's getproxies_environment, for any environment: scheme (or `no`) → value; lower case wins."""
    found = {}
    for name in sorted(environ):  # capitals sort first
        if name.lower().endswith("_proxy") and environ[name]:
            found[name.lower().removesuffix("_proxy")] = environ[name]
    return found


def check_proxy(environ: Mapping[str, str], servers: Mapping[str, str]) -> list[CheckResult]:
    """`servers`: name of the cluster → URL of its API server, if connections to it use the proxies of the environment.
    Pure.
    """
    given = proxies(environ)
    if not {"http", "https"} & given.keys():
        return [fine("proxy", "", "the environment sets no proxy")]
    results = [*_malformed(given)]
    for cluster, server in servers.items():
        url = urlsplit(server)
        host, proxy = url.hostname or "", given.get(url.scheme)
        if proxy is None or proxy_bypass(host, given):
            continue
        ranges = [entry for entry in given.get("no", "").split(",") if _within(host, entry.strip())]
        if ranges:
            found = (
                f"requests to {host} go through the proxy {_shown(proxy)}: NO_PROXY has the range {ranges[0]}, but"
                " Python programs ignore ranges"
            )
            results.append(problem("proxy", cluster, found, remedy=DOCTOR["proxy/range"].format(host=host)))
        elif _is_private(host) and host == environ.get("KUBERNETES_SERVICE_HOST"):
            found = f"requests to the API server of this cluster ({host}) go through the proxy {_shown(proxy)}"
            results.append(problem("proxy", cluster, found, remedy=DOCTOR["proxy/inside"].format(host=host)))
    if results:
        return results
    used = ", ".join(f"{scheme.upper()}_PROXY {_shown(url)}" for scheme, url in given.items() if scheme != "no")
    return [fine("proxy", "", f"{used}; reached directly: {given.get('no') or 'nothing'}")]


def _malformed(given: Mapping[str, str]) -> Iterator[CheckResult]:
    for scheme, url in given.items():
        if scheme in {"http", "https"} and (
            urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname
        ):
            found = f"{scheme.upper()}_PROXY is {_shown(url)}, which is not an http or https URL"
            yield problem("proxy", "", found, remedy=DOCTOR["proxy/url"])


def _shown(url: str) -> str:
    """Without credentials: without everything before the last `@`, even if this is not a URL."""
    userinfo, _, rest = url.rpartition("@")
    scheme, found, _ = userinfo.partition("://")
    return f"{scheme}://{rest}" if found else rest


def _within(host: str, entry: str) -> bool:
    try:
        return "/" in entry and ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False


def _is_private(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return False


def check_certificates(environ: Mapping[str, str]) -> list[CheckResult]:
    """Read the bundles that the environment names."""
    named = {name: environ[name] for name in BUNDLES if environ.get(name)}
    if not named:
        return [fine("certificates", "", "the environment sets no bundle: the default authorities are trusted")]
    results = [_bundle(name, path) for name, path in named.items()]
    wrong = [result for result in results if result.state != "fine"]
    return wrong or results


def _bundle(name: str, path: str) -> CheckResult:
    used = f"{name} (for {BUNDLES[name]})"
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if Path(path).is_dir():
            context.load_verify_locations(capath=path)
            return fine("certificates", "", f"{used} is the folder {path}")
        context.load_verify_locations(cafile=path)
    except (OSError, ssl.SSLError) as error:
        remedy = DOCTOR["certificates"]
        return problem("certificates", "", f"{used} names {path}, which cannot be used: {error}", remedy=remedy)
    return fine("certificates", "", f"{used} has {counted(len(context.get_ca_certs()), 'authority', 'authorities')}")
