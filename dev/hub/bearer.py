"""Service account tokens: verifies those of a local API server, and issues some for tests without one.

ES256 only, which is what the local control plane signs with. Pure: no I/O, no clock.
"""

import base64
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

_HALF = 32
"""Bytes of each of the two numbers of a signature, and of a point's coordinates."""
_ALGORITHM = ec.ECDSA(hashes.SHA256())


class BearerError(Exception):
    """The token is malformed, or not signed with one of these keys; the message says which."""


class Keys(msgspec.Struct):
    """A JSON Web Key Set, as an API server returns it at /openid/v1/jwks."""

    keys: list[dict[str, Any]]


class Claims(msgspec.Struct):
    """The claims of a token."""

    iss: str
    sub: str
    exp: float
    aud: list[str] | str = msgspec.field(default_factory=list)

    @property
    def audiences(self) -> frozenset[str]:
        return frozenset([self.aud] if isinstance(self.aud, str) else self.aud)


def read(token: str, keys: Keys) -> Claims:
    """The token's claims. Raises BearerError unless one of the keys signed it."""
    try:
        header, payload, signature = token.split(".")
        claims = msgspec.json.decode(_decoded(payload), type=Claims)
        raw = _decoded(signature)
    except (ValueError, msgspec.MsgspecError) as error:
        raise BearerError(f"this is no token: {error}") from error
    der = encode_dss_signature(int.from_bytes(raw[:_HALF]), int.from_bytes(raw[_HALF:]))
    for key in keys.keys:
        if key.get("kty") != "EC":
            continue
        try:
            _public(key).verify(der, f"{header}.{payload}".encode(), _ALGORITHM)
        except InvalidSignature:
            continue
        return claims
    raise BearerError("none of the issuer's keys has signed this token")


def issue(key: ec.EllipticCurvePrivateKey, **claims: object) -> str:
    """A token as an API server issues it."""
    parts = (msgspec.json.encode({"alg": "ES256"}), msgspec.json.encode(claims))
    signed = ".".join(_encoded(part) for part in parts)
    r, s = decode_dss_signature(key.sign(signed.encode(), _ALGORITHM))
    return f"{signed}.{_encoded(r.to_bytes(_HALF) + s.to_bytes(_HALF))}"


def published(key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    """The key set that verifies tokens of this key."""
    numbers = key.public_key().public_numbers()
    point = {"x": _encoded(numbers.x.to_bytes(_HALF)), "y": _encoded(numbers.y.to_bytes(_HALF))}
    return {"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", **point}]}


def _public(key: dict[str, Any]) -> ec.EllipticCurvePublicKey:
    x, y = (int.from_bytes(_decoded(str(key[name]))) for name in ("x", "y"))
    return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
