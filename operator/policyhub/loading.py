"""What the start of the operator spares itself while its modules load: about a quarter of the CPU of it.

| spared                                  | because                                                                    |
|-----------------------------------------|----------------------------------------------------------------------------|
| garbage collection                      | nearly all that is made stays: it is looked at again and again for nothing |
| rich, which structlog loads if it can   | its tracebacks in colour are not used; it is there for our command line    |
| the system's CA certificates, twice     | aiohttp makes two contexts when it loads; every connection here brings its |
|                                         | own (`kube.trust`), which is made later                                    |

Afterwards everything is as before, but that collections skip what was loaded.
"""

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_CERTIFICATES = "SSL_CERT_FILE"
"""Of OpenSSL: the file with the system's CA certificates."""


@contextmanager
def sparing() -> Iterator[None]:
    """Around the imports of the operator. No other thread may run."""
    modules: dict[str, Any] = dict.fromkeys(["rich"]) if "rich" not in sys.modules else {}
    certificates = os.environ.get(_CERTIFICATES)
    gc.disable()
    sys.modules.update(modules)  # None: there is no such module (docs.python.org/3/reference/import.html)
    os.environ[_CERTIFICATES] = os.devnull
    try:
        yield
    finally:
        if certificates is None:
            del os.environ[_CERTIFICATES]
        else:
            os.environ[_CERTIFICATES] = certificates
        for name in modules:
            del sys.modules[name]
        gc.freeze()
        gc.enable()
