"""The operator's settings: environment (`POLICYHUB_…`), flags over it, all checked at once before anything starts.

What belongs to one monitored cluster stands in its MonitoredCluster; here stands what is the operator's own, and the
defaults for accounts and Regions that a MonitoredCluster leaves out.
"""

import os
import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from policyhub.api import selector, sla
from policyhub.api.scalar import AccountId, ExternalId, Region, RoleArn, role_problem
from policyhub.api.sla import SlaDays

_SLA_DAYS = SlaDays(critical=7, high=30, medium=90, low=180)
_AS_TEXT = WithJsonSchema({"type": "string", "pattern": r"^[a-z]+=\d+(,[a-z]+=\d+)*$"})
"""As the chart's values and the environment give it."""


_HOST = re.compile(r"\.?[0-9a-z_-]+(\.[0-9a-z_-]+)*|[0-9a-f]*(:[0-9a-f]*){2,7}")
_HOSTS_AS_TEXT = WithJsonSchema({"type": "string"})


class SettingsError(Exception):
    """The settings are wrong; the message names every one, where it came from and what it should be."""


def _readable(text: str) -> str:
    selector.parse(text)
    return text


def _hosts(value: object) -> object:
    """With commas between; a name or an address, or a domain with a dot before it."""
    if not isinstance(value, str):
        return value
    hosts = tuple(host.strip().lower() for host in value.split(",") if host.strip())
    if wrong := [host for host in hosts if not _HOST.fullmatch(host)]:
        raise ValueError(f"{wrong[0]} is neither a host, such as relay.example.com, nor a domain, such as .example.com")
    return hosts


def _variable(name: str) -> str:
    return f"POLICYHUB_{name.upper()}"


class Settings(BaseModel):
    """One value each, from `POLICYHUB_<NAME>` or the flag of the same name."""

    model_config = ConfigDict(frozen=True)

    account_id: AccountId | None = Field(None, description="AWS account for MonitoredClusters that name none")
    region: Region | None = Field(None, description="AWS Region for MonitoredClusters that name none")
    role_arn: RoleArn | None = Field(None, description="Role to assume for MonitoredClusters that name none")
    external_id: ExternalId | None = Field(None, description="External id for that role")
    metrics_host: str | None = Field(None, description="Address of /metrics, /healthz and /readyz; none: every address")
    metrics_port: int = Field(8080, ge=0, le=65535, description="Port of the same; 0 takes a free one")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    hub_quota_share: float = Field(0.8, gt=0, le=1, description="Share of Security Hub's request quotas to use")
    relist_interval: float = Field(3600, ge=10, description="Seconds between complete listings of each source")
    inventory_interval: float = Field(86400, ge=60, description="Seconds between inventories of Security Hub")
    lease: str | None = Field(
        None,
        pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?/[a-z0-9]([a-z0-9.-]*[a-z0-9])?$",
        description="Lease that says which replica is at work, as namespace/name; none: this is the only one",
    )
    watch_selector: Annotated[str, AfterValidator(_readable)] | None = Field(
        None, description="Labels of the MonitoredClusters that are this operator's, as in `kubectl get -l`; none: all"
    )
    sla_days: Annotated[SlaDays, BeforeValidator(sla.parse), _AS_TEXT] = Field(
        _SLA_DAYS,
        json_schema_extra={"default": sla.render(_SLA_DAYS)},
        description="Days that a violation may stay, by severity, for MonitoredClusters that say nothing else",
    )
    metrics_namespaces: bool = Field(
        default=False, description="Whether policyhub_violations has a label for the namespace"
    )
    limit_report_bytes: int = Field(
        8 * 1024 * 1024, ge=65_536, description="Bytes of one report; a larger one is not read"
    )
    limit_report_results: int = Field(
        5_000, ge=1, description="Results of one report, one for each object that they name; the rest is not taken"
    )
    limit_namespace_findings: int = Field(
        50_000, ge=1, description="Findings that one namespace's own reports may have in each cluster"
    )
    limit_cluster_findings: int = Field(1_000_000, ge=1, description="Findings of one cluster")
    limit_namespace_imports: int = Field(
        100_000, ge=1, description="Imports a day for the findings of one namespace: what it may cost at AWS"
    )
    eks_endpoint_hosts: Annotated[tuple[str, ...], BeforeValidator(_hosts), _HOSTS_AS_TEXT] = Field(
        (),
        json_schema_extra={"default": ""},
        description="Hosts, beside those of EKS, that specs may name as the endpoint of an EKS cluster",
    )
    cluster_discovery: bool = Field(
        default=False, description="Whether ClusterDiscoveries are worked on, which create MonitoredClusters"
    )
    cluster_discovery_interval: float = Field(
        300, ge=0.1, description="Seconds between two looks for EKS clusters in an account and Region"
    )
    discovery_interval: float = Field(10, ge=0.1, description="Seconds between looks at what each cluster serves")

    @field_validator("role_arn")
    @classmethod
    def _own_role(cls, role_arn: str | None, info: ValidationInfo) -> str | None:
        """Of the account and the Region where they are named; one of them that is wrong has its own error."""
        account, region = info.data.get("account_id"), info.data.get("region")
        if role_arn and (problem := role_problem(role_arn, account=account, region=region)):
            raise ValueError(problem)
        return role_arn

    @classmethod
    def load(cls, **flags: Any) -> "Settings":
        """Read environment and flags (None: not given). Raises SettingsError with every error named."""
        given = {name: value for name, value in flags.items() if value is not None}
        there = {name: value for name in cls.model_fields if (value := os.environ.get(_variable(name))) is not None}
        try:
            return cls(**there | given)
        except ValidationError as error:
            lines = []
            for problem in error.errors():
                name = str(problem["loc"][0])
                where = f"--{name.replace('_', '-')}" if name in given else _variable(name)
                lines.append(f"{where}: {problem['msg']} (given: {problem['input']!r})")
            raise SettingsError("\n".join(lines)) from error
