"""Authentication and permissions: access keys, roles, and the sessions of assumed roles.

A configured key belongs to its account, any other key to the default account (or is rejected, if `strict`). Temporary
keys (`ASIA…`) come from a sign-in, and need their session token.

A role with policies (`dev.hub.policy`) can only be assumed by the principals of its trust policy, and has only its
permissions. Every other role may do everything in its account. Session tags are passed on with each change of role.
"""

import re
import secrets
import string
from collections.abc import Mapping
from typing import Any

import msgspec

from dev.hub.policy import Role
from dev.hub.timestamp import render
from dev.hub.wire import AwsError, partition

ROLE_ARN = re.compile(r"^arn:(aws[a-z-]*):iam::(\d{12}):role/(?:[\w+=,.@-]+/)*([\w+=,.@-]{1,64})$")
_SESSION_NAME = re.compile(r"^[\w+=,.@-]{2,64}$")
_UPPER = string.ascii_uppercase + "234567"
NO_TAGS: Mapping[str, str] = {}
SECRET = "not-a-secret-of-the-local-hub"  # noqa: S105  (the name says it)
"""Of every long-term key. Only the authenticator of EKS checks signatures."""


class Caller(msgspec.Struct, frozen=True):
    account: str
    arn: str
    user: str
    role: str = ""
    """ARN of the assumed role; empty for a user."""
    tags: Mapping[str, str] = NO_TAGS
    """Of the session."""


class Session(msgspec.Struct):
    caller: Caller
    token: str
    secret: str
    expires: float


class Identity:
    """Keys, roles and sessions. Sessions live as long as the process."""

    def __init__(self, *, default_account: str, keys: dict[str, str], strict: bool, roles: dict[str, str]) -> None:
        self._default = default_account
        self._keys = keys
        self._strict = strict
        self.roles = roles
        """Role ARN → external id ("": none required). While empty, any role of a known account can be assumed."""
        self.policies: dict[str, Role] = {}
        """By role ARN."""
        self.lifetime = 0
        """Lifetime of new sessions in seconds, whatever was requested; 0: as requested."""
        self._sessions: dict[str, Session] = {}
        self._ids: dict[str, str] = {}
        """Role ARN → its unique id."""

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

    def secret(self, key: str) -> str:
        """The secret of an access key."""
        session = self._sessions.get(key)
        return SECRET if session is None else session.secret

    def role_id(self, arn: str) -> str:
        """Of a role; empty if `arn` is not a role's."""
        return self._ids.setdefault(arn, f"AROA{_name(17)}") if ROLE_ARN.match(arn) else ""

    def recreate(self, arn: str) -> None:
        """Acts as if the role were deleted and created again: its sessions end, and its id changes."""
        self._ids.pop(arn, None)
        self._sessions = {key: one for key, one in self._sessions.items() if one.caller.role != arn}

    def permits(self, caller: Caller, action: str, resource: str, context: Mapping[str, str] = NO_TAGS) -> bool:
        policies = self.policies.get(caller.role)
        return policies is None or policies.permissions.permits(action, resource, context)

    def assume(self, form: dict[str, str], caller: Caller, *, accounts: set[str], now: float) -> dict[str, Any]:
        """The AssumeRole result."""
        arn, account, duration = self.asked(form)
        policies = self.policies.get(arn)
        if policies is not None:
            principal = "AWS", caller.role or caller.arn
            context = {"sts:ExternalId": form["ExternalId"]} if "ExternalId" in form else {}
            allowed = policies.trust.trusts("sts:AssumeRole", principal, context)
            tagged = policies.trust.trusts("sts:TagSession", principal, NO_TAGS)
        else:
            wanted = self.roles.get(arn)
            allowed = wanted is not None if self.roles else account in accounts
            allowed = allowed and (not wanted or form.get("ExternalId") == wanted)
            tagged = True
        for action, may in (("sts:AssumeRole", allowed), ("sts:TagSession", tagged or not caller.tags)):
            needed = action == "sts:AssumeRole" or caller.tags
            if not may or (needed and not self.permits(caller, action, arn)):
                message = f"User: {caller.arn} is not authorized to perform: {action} on resource: {arn}"
                raise AwsError("AccessDenied", 403, message)
        return self.open(arn, form["RoleSessionName"], tags=caller.tags, seconds=duration, now=now)

    def asked(self, form: dict[str, str]) -> tuple[str, str, int]:
        """(Role ARN, its account, seconds) of a sign-in. Raises AwsError if the request is malformed."""
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
        return arn, match[2], duration

    def open(self, arn: str, name: str, *, tags: Mapping[str, str], seconds: int, now: float) -> dict[str, Any]:
        """Opens a session of a role; returns it as STS does."""
        match = ROLE_ARN.match(arn)
        if match is None:
            raise AwsError("ValidationError", 400, f"RoleArn {arn!r} is invalid")
        section, account, role = match.groups()
        key = f"ASIA{_name(16)}"
        assumed = f"arn:{section}:sts::{account}:assumed-role/{role}/{name}"
        session = Session(
            Caller(account, assumed, f"{self.role_id(arn)}:{name}", arn, tags),
            secrets.token_urlsafe(48),
            secrets.token_urlsafe(30),
            now + (self.lifetime or seconds),
        )
        self._sessions[key] = session
        return {
            "Credentials": {
                "AccessKeyId": key,
                "SecretAccessKey": session.secret,
                "SessionToken": session.token,
                "Expiration": render(session.expires),
            },
            "AssumedRoleUser": {"AssumedRoleId": session.caller.user, "Arn": session.caller.arn},
            "PackedPolicySize": 0,
        }

    def expire(self, *, now: float) -> int:
        """Expires all sessions; returns their number."""
        for session in self._sessions.values():
            session.expires = min(session.expires, now)
        return len(self._sessions)

    def forget(self) -> None:
        self._sessions.clear()


def _name(length: int) -> str:
    return "".join(secrets.choice(_UPPER) for _ in range(length))
