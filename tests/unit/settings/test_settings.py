"""Settings and the command line: all errors are reported at once, before anything starts."""

import pytest
from typer.testing import CliRunner

import policyhub
from policyhub.api import sla
from policyhub.api.sla import SlaDays
from policyhub.cli.main import app
from policyhub.cli.run import run_command
from policyhub.settings import Settings, SettingsError, flag


def test_every_error_is_named_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong flag and a wrong variable are reported together, each by its own name."""
    monkeypatch.setenv("POLICYHUB_REGION", "Ireland")
    with pytest.raises(SettingsError) as caught:
        Settings.load(account_id="123", metrics_port="http")
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == ["--account-id", "POLICYHUB_REGION", "--metrics-port"]
    assert "'Ireland'" in lines[1]


@pytest.mark.parametrize(
    ("role", "message"),
    [
        ("arn:aws:iam::999999999999:role/x:iam::111122223333:role/policyhub", "account 999999999999"),
        ("arn:aws-cn:iam::111122223333:role/policyhub", "partition aws-cn"),
    ],
    ids=["another account, with ours in the path", "another partition"],
)
def test_a_role_must_be_of_the_account(role: str, message: str) -> None:
    """A role that cannot be the one for the findings is an error of the settings, beside all others."""
    with pytest.raises(SettingsError, match=f"--role-arn: .*{message}"):
        Settings.load(account_id="111122223333", region="eu-west-1", role_arn=role)
    assert Settings.load(role_arn=role, region=None).role_arn == role


def test_a_selector_is_parsed_at_the_start() -> None:
    """An invalid selector is an error of the settings, not of the first MonitoredCluster."""
    with pytest.raises(SettingsError, match=r"--watch-selector: .*not a label selector"):
        Settings.load(watch_selector="shard in a")


def test_flags_override_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A given flag wins; otherwise the variable applies, else the default."""
    monkeypatch.setenv("POLICYHUB_ACCOUNT_ID", "111122223333")
    monkeypatch.setenv("POLICYHUB_METRICS_PORT", "9000")
    settings = Settings.load(metrics_port="9100", region=None)
    assert (settings.account_id, settings.metrics_port, settings.region) == ("111122223333", 9100, None)


def test_days_are_written_by_severity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines are written as severity=days; an omitted severity has none, and the text is read back."""
    monkeypatch.setenv("POLICYHUB_SLA_DAYS", "critical=3, high=14")
    days = Settings.load().sla_days
    assert days.over(SlaDays()) == {"CRITICAL": 3, "HIGH": 14}
    assert sla.parse(sla.render(days)) == {"critical": "3", "high": "14"}


@pytest.mark.parametrize("text", ["critical", "urgent=3", "high=soon", "high=-1"])
def test_invalid_days(text: str) -> None:
    """An unknown severity, a missing or a negative number of days ends the start, and is named."""
    with pytest.raises(SettingsError, match="--sla-days"):
        Settings.load(sla_days=text)


def test_hosts_for_tokens() -> None:
    """Separated by commas, in lower case; none by default."""
    assert Settings.load().eks_endpoint_hosts == ()
    assert Settings.load(eks_endpoint_hosts="relay.example.com, .Example.org,10.0.0.1,::1,").eks_endpoint_hosts == (
        *("relay.example.com", ".example.org", "10.0.0.1", "::1"),
    )


@pytest.mark.parametrize("text", ["https://relay.example.com", "*", ".", "a:443", "*.example.com", "a/b"])
def test_invalid_hosts(text: str) -> None:
    """A pattern, a URL or a port matches nothing, so it is rejected."""
    with pytest.raises(SettingsError, match="--eks-endpoint-hosts"):
        Settings.load(eks_endpoint_hosts=text)


def test_each_setting_has_a_flag() -> None:
    """With its meaning and its default, where it has one."""
    shown = {parameter.opts[0]: parameter.help for parameter in run_command().params}
    assert [*shown] == [flag(name) for name in Settings.model_fields]
    for name, field in Settings.model_fields.items():
        assert field.description
        assert shown[flag(name)].startswith(field.description)
    assert shown["--log-format"] == "Format of the log: json, console (default: json)."
    assert shown["--sla-days"].endswith("(default: critical=7,high=30,medium=90,low=180).")
    assert shown["--lease"].endswith("this is the only one.")


def test_wrong_settings_end_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """`policyhub run` with wrong settings ends with 2 and prints the errors on stderr."""
    monkeypatch.delenv("POLICYHUB_HUB_QUOTA_SHARE", raising=False)
    done = CliRunner().invoke(app, ["run", "--hub-quota-share", "2"])
    assert done.exit_code == 2
    assert "--hub-quota-share" in done.stderr


def test_version_is_printed() -> None:
    """`policyhub --version` prints the version and nothing else."""
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.stdout) == (0, f"{policyhub.__version__}\n")
