"""The operator's settings, from the environment (`POLICYHUB_…`) and flags, which take precedence.

All are validated at once, before anything starts. These are settings of the operator, and defaults for fields that a
MonitoredCluster does not set. Everything else about a monitored cluster is in its MonitoredCluster.
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
"""The format in the chart's values and the environment."""


_HOST = re.compile(r"\.?[0-9a-z_-]+(\.[0-9a-z_-]+)*|[0-9a-f]*(:[0-9a-f]*){2,7}")
_HOSTS_AS_TEXT = WithJsonSchema({"type": "string"})


class SettingsError(Exception):
    """Settings are invalid. The message lists each with its flag or variable, its value and the reason."""


def _readable(text: str) -> str:
    selector.parse(text)
    return text


def _hosts(value: object) -> object:
    """A list, separated by commas, of host names, addresses, and domains with a leading dot."""
    if not isinstance(value, str):
        return value
    hosts = tuple(host.strip().lower() for host in value.split(",") if host.strip())
    if wrong := [host for host in hosts if not _HOST.fullmatch(host)]:
        raise ValueError(f"{wrong[0]} is neither a host, such as relay.example.com, nor a domain, such as .example.com")
    return hosts


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"POLICYHUB_{name.upper()}"


def flag(name: str) -> str:
    """The flag of a setting."""
    return f"--{name.replace('_', '-')}"


class Settings(BaseModel):
    """The value of each setting, from the flag `--<name>` or else `POLICYHUB_<NAME>`. A description is the flag's
    help.
    """

    model_config = ConfigDict(frozen=True)

    account_id: AccountId | None = Field(None, description="AWS account for MonitoredClusters that name none")
    region: Region | None = Field(None, description="AWS Region for MonitoredClusters that name none")
    role_arn: RoleArn | None = Field(None, description="Role to assume for MonitoredClusters that name none")
    external_id: ExternalId | None = Field(None, description="External id for MonitoredClusters that name none")
    metrics_host: str | None = Field(
        None, description="Address of /metrics, /healthz and /readyz; without it, every address"
    )
    metrics_port: int = Field(
        8080, ge=0, le=65535, description="Port of /metrics, /healthz and /readyz; 0 selects a free one"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Minimum level of the log")
    log_format: Literal["json", "console"] = Field("json", description="Format of the log")
    hub_quota_share: float = Field(0.8, gt=0, le=1, description="Share of Security Hub's request quotas to use")
    relist_interval: float = Field(3600, ge=10, description="Seconds between complete listings of each source")
    inventory_interval: float = Field(86400, ge=60, description="Seconds between inventories of Security Hub")
    lease: str | None = Field(
        None,
        pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?/[a-z0-9]([a-z0-9.-]*[a-z0-9])?$",
        description="Lease (namespace/name) that decides which replica is active; without it, this is the only one",
    )
    watch_selector: Annotated[str, AfterValidator(_readable)] | None = Field(
        None, description="Labels of the MonitoredClusters to handle, as in `kubectl get -l`; without it, all"
    )
    sla_days: Annotated[SlaDays, BeforeValidator(sla.parse), _AS_TEXT] = Field(
        _SLA_DAYS,
        json_schema_extra={"default": sla.render(_SLA_DAYS)},
        description="Days that a violation may stay, by severity, for MonitoredClusters that name none",
    )
    metrics_namespaces: bool = Field(
        default=False, description="Whether policyhub_violations has a label for the namespace"
    )
    limit_report_bytes: int = Field(
        8 * 1024 * 1024, ge=65_536, description="Maximum bytes of one report; a larger one is not read"
    )
    limit_report_results: int = Field(
        5_000,
        ge=1,
        description="Maximum results of one report, one for each object that they name; the rest is ignored",
    )
    limit_namespace_findings: int = Field(
        50_000, ge=1, description="Maximum findings of one namespace's own reports in each cluster"
    )
    limit_cluster_findings: int = Field(1_000_000, ge=1, description="Maximum findings of one cluster")
    limit_namespace_imports: int = Field(
        100_000, ge=1, description="Maximum imports a day for the findings of one namespace, which cost money at AWS"
    )
    eks_endpoint_hosts: Annotated[tuple[str, ...], BeforeValidator(_hosts), _HOSTS_AS_TEXT] = Field(
        (),
        json_schema_extra={"default": ""},
        description="Hosts that may be endpoints of EKS clusters in addition to those of EKS, separated by commas",
    )
    cluster_discovery: bool = Field(
        default=False, description="Whether ClusterDiscoveries, which create MonitoredClusters, are handled"
    )
    cluster_discovery_interval: float = Field(
        300, ge=0.1, description="Seconds between two searches for EKS clusters in an account and Region"
    )
    discovery_interval: float = Field(
        10, ge=0.1, description="Seconds between checks of the APIs that each cluster serves"
    )

    @field_validator("role_arn")
    @classmethod
    def _own_role(cls, role_arn: str | None, info: ValidationInfo) -> str | None:
        """The role must match account and Region, if they are set. An invalid account or Region has its own error."""
        account, region = info.data.get("account_id"), info.data.get("region")
        if role_arn and (problem := role_problem(role_arn, account=account, region=region)):
            raise ValueError(problem)
        return role_arn

    @classmethod
    def load(cls, **flags: Any) -> "Settings":
        """Read environment and flags (None: not given). Raises SettingsError, which lists all errors."""
        given = {name: value for name, value in flags.items() if value is not None}
        there = {name: value for name in cls.model_fields if (value := os.environ.get(variable(name))) is not None}
        try:
            return cls(**there | given)
        except ValidationError as error:
            lines = []
            for problem in error.errors():
                name = str(problem["loc"][0])
                where = flag(name) if name in given else variable(name)
                lines.append(f"{where}: {problem['msg']} (given: {problem['input']!r})")
            raise SettingsError("\n".join(lines)) from error
