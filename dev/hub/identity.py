"""Who a caller is: access keys, assumable roles and the sessions that assuming a role gives.

A long-term key belongs to its configured account, any other key to the default account (unless only configured keys
count). Temporary keys (`ASIA…`) are known only from AssumeRole, and need their session token.
"""

import re
import secrets
import string
from typing import Any

import msgspec

from dev.hub.timestamp import render
from dev.hub.wire import AwsError, partition

ROLE_ARN = re.compile(r"^arn:(aws[a-z-]*):iam::(\d{12}):role/(?:[\w+=,.@-]+/)*([\w+=,.@-]{1,64})$")
_SESSION_NAME = re.compile(r"^[\w+=,.@-]{2,64}$")
_UPPER = string.ascii_uppercase + "234567"


class Caller(msgspec.Struct, frozen=True):
    account: str
    arn: str
    user: str


class Session(msgspec.Struct):
    caller: Caller
    token: str
    expires: float


class Identity:
    """Keys, roles and sessions. Sessions live as long as the process."""

    def __init__(self, *, default_account: str, keys: dict[str, str], strict: bool, roles: dict[str, str]) -> None:
        self._default = default_account
        self._keys = keys
        self._strict = strict
        self.roles = roles
        """Role ARN → external id ("" where none is wanted). While empty, any role of a known account can be assumed."""
        self._sessions: dict[str, Session] = {}

    def resolve(self, key: str, token: str | None, *, region: str, now: float) -> Caller:
        if key.startswith("ASIA") or token:
            session = self._sessions.get(key)
            if session is None or session.token != token:
                raise AwsError(
                    "UnrecognizedClientException", 403, "The security token included in the request is invalid."
                )
            if session.expires <= now:
                raise AwsError("ExpiredTokenException", 403, "The security token included in the request is expired")
            return session.caller
        account = self._keys.get(key)
        if account is None:
            if self._strict:
                raise AwsError(
                    "UnrecognizedClientException", 403, "The security token included in the request is invalid."
                )
            account = self._default
        return Caller(account, f"arn:{partition(region)}:iam::{account}:user/{key[:64]}", "AIDA" + key[-16:].upper())

    def assume(self, form: dict[str, str], caller: Caller, *, accounts: set[str], now: float) -> dict[str, Any]:
        """The AssumeRole result."""
        arn, name = form.get("RoleArn", ""), form.get("RoleSessionName", "")
        match = ROLE_ARN.match(arn)
        if match is None or _SESSION_NAME.match(name) is None:
            raise AwsError("ValidationError", 400, f"RoleArn {arn!r} or RoleSessionName {name!r} is invalid")
        try:
            duration = int(form.get("DurationSeconds", "3600"))
        except ValueError:
            duration = 0
        if not 900 <= duration <= 43_200:
            raise AwsError("ValidationError", 400, "DurationSeconds must be between 900 and 43200")
        section, account, role = match.groups()
        wanted = self.roles.get(arn)
        allowed = wanted is not None if self.roles else account in accounts
        if not allowed or (wanted and form.get("ExternalId") != wanted):
            raise AwsError(
                "AccessDenied",
                403,
                f"User: {caller.arn} is not authorized to perform: sts:AssumeRole on resource: {arn}",
            )
        key = "ASIA" + "".join(secrets.choice(_UPPER) for _ in range(16))
        session = Session(
            Caller(account, f"arn:{section}:sts::{account}:assumed-role/{role}/{name}", f"AROA{key[4:]}:{name}"),
            secrets.token_urlsafe(48),
            now + duration,
        )
        self._sessions[key] = session
        return {
            "Credentials": {
                "AccessKeyId": key,
                "SecretAccessKey": secrets.token_urlsafe(30),
                "SessionToken": session.token,
                "Expiration": render(session.expires),
            },
            "AssumedRoleUser": {"AssumedRoleId": session.caller.user, "Arn": session.caller.arn},
            "PackedPolicySize": 0,
        }

    def expire(self, *, now: float) -> int:
        """End every session at once, as if its time were over. The number of sessions."""
        for session in self._sessions.values():
            session.expires = min(session.expires, now)
        return len(self._sessions)

    def forget(self) -> None:
        self._sessions.clear()
