"""The local hub's findings page in a real headless Chromium, with ten thousand findings."""

import csv
import json
import os
import shutil
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from dev.hub.process import HubProcess, access_key
from dev.hub.sample import company, finding, later

MANY = 10_000
TITLE = "Findings: local Security Hub stand-in (not AWS)"
INJECTION = '<img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script>'
_ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def send(hub: HubProcess, findings: list[dict[str, Any]]) -> None:
    """Import without the cost of an SDK: ten thousand findings are on the page within seconds."""
    scope = f"{access_key(hub.accounts[0])}/20260302/eu-west-1/securityhub/aws4_request"
    headers = {"Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=none"}
    connection = HTTPConnection(hub.url.removeprefix("http://"))
    for start in range(0, len(findings), 100):
        connection.request("POST", "/findings/import", json.dumps({"Findings": findings[start : start + 100]}), headers)
        assert json.load(connection.getresponse())["FailedCount"] == 0
    connection.close()


@pytest.fixture(scope="module")
def hub() -> Iterator[HubProcess]:
    with HubProcess.start(quotas=False) as server:
        send(server, list(company(MANY)))
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.fail("No Chromium here: install it, or name it by CHROMIUM.")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=_ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def page(hub: HubProcess, browser: Browser) -> Iterator[Page]:
    """The loaded page; a script error or a refused resource fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    troubles: list[str] = []
    opened.on("pageerror", lambda error: troubles.append(str(error)))
    opened.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    opened.goto(hub.url)
    expect(opened.locator("#rows tr").first).to_be_visible()
    yield opened
    context.close()
    assert troubles == []


@pytest.fixture
def picture(page: Page) -> Callable[[str], None]:
    """Save a picture if PICTURES names a folder."""
    folder = os.environ.get("PICTURES")

    def save(name: str) -> None:
        if folder:
            page.screenshot(path=Path(folder) / f"{name}.png")

    return save


def summary(page: Page) -> Any:
    return expect(page.locator("#summary"))


def test_the_page_declares_itself_a_stand_in(page: Page) -> None:
    """Title and banner state that this is a stand-in and not AWS."""
    expect(page).to_have_title(TITLE)
    expect(page.locator(".banner")).to_be_in_viewport()
    expect(page.locator(".banner")).to_have_text(
        "Local Security Hub stand-in for development. Not AWS. Nothing here leaves this machine."
    )


def test_ten_thousand_findings(page: Page, picture: Callable[[str], None]) -> None:
    """All findings are counted by severity, one page of them is shown, and paging works."""
    summary(page).to_contain_text("10,000 findings")
    expect(page.locator("#rows tr")).to_have_count(100)
    counts = [int(text.replace(",", "")) for text in page.locator(".tile .count").all_text_contents()]
    assert sum(counts) == MANY
    assert all(count > 500 for count in counts)
    expect(page.locator("#rows tr").first).to_contain_text("Critical")
    page.get_by_role("button", name="Next").click()
    expect(page.locator("#place")).to_have_text("101\u2013200 of 10,000")
    picture("page")


def test_filters_narrow_the_list(page: Page) -> None:
    """Severity, cluster, text and record state combine; the URL keeps them; reset clears them."""
    page.get_by_role("button", name="Critical:").click()
    summary(page).to_contain_text("1,111 findings")
    page.get_by_role("combobox", name="Cluster").select_option("staging")
    page.get_by_role("searchbox", name="Search").fill("payments/")
    left = [
        sample
        for sample in company(MANY)
        if "/staging/" in sample["Id"]
        and "payments/" in sample["Title"]
        and sample["FindingProviderFields"]["Severity"]["Label"] == "CRITICAL"
    ]
    narrowed = f"{len(left)} findings shown of"
    summary(page).to_contain_text(narrowed)
    expect(page.locator("#rows .c-cluster").first).to_have_text("staging")
    page.reload()
    summary(page).to_contain_text(narrowed)
    expect(page.get_by_role("button", name="Critical:")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("checkbox", name="Archived", exact=True).check()
    page.get_by_role("checkbox", name="Active", exact=True).uncheck()
    expect(page.get_by_text("No finding matches these filters.")).to_be_visible()
    page.get_by_role("button", name="Reset filters").first.click()
    summary(page).to_contain_text("10,000 findings")


def test_search_for_several_words(page: Page) -> None:
    """Each word may occur anywhere in a row, in any order and case; all must occur."""
    page.get_by_role("searchbox", name="Search").fill("PAYMENTS staging root")
    left = [
        sample
        for sample in company(MANY)
        if all(word in f"{sample['Title']} {sample['Id']}".casefold() for word in ("payments", "staging", "root"))
    ]
    assert 0 < len(left) < MANY
    summary(page).to_contain_text(f"{len(left):,} findings shown of")
    page.get_by_role("searchbox", name="Search").fill("payments no-such-word")
    expect(page.get_by_text("No finding matches these filters.")).to_be_visible()


@pytest.mark.parametrize(
    ("label", "field", "value"),
    [
        ("Policy", "sample/policy", None),
        ("Source", "sample/source", None),
        ("Namespace", None, "payments"),
    ],
)
def test_filters_by_product_fields(page: Page, label: str, field: str | None, value: str | None) -> None:
    """By policy, source and namespace; the URL keeps the filter."""
    samples = list(company(MANY))
    if field is not None:
        value = samples[0]["ProductFields"][field]
    of = [s["ProductFields"][field] if field else s["Resources"][0]["Details"]["Other"]["namespace"] for s in samples]
    page.get_by_role("combobox", name=label).select_option(value)
    summary(page).to_contain_text(f"{of.count(value):,} findings shown of")
    page.reload()
    summary(page).to_contain_text(f"{of.count(value):,} findings shown of")
    expect(page.get_by_role("combobox", name=label)).to_have_value(str(value))


def test_compact_rows(page: Page) -> None:
    """More rows fit, one line each, and a reload keeps the setting."""
    page.locator("#rows tr").first.wait_for()
    before = page.locator("#rows tr").first.bounding_box()
    page.get_by_role("checkbox", name="Compact rows").check()
    page.reload()
    expect(page.get_by_role("checkbox", name="Compact rows")).to_be_checked()
    expect(page.locator("#rows tr").first).to_be_visible()
    after = page.locator("#rows tr").first.bounding_box()
    assert before is not None
    assert after is not None
    assert after["height"] < before["height"]


def test_export_has_all_matches(page: Page) -> None:
    """The export has all findings that match, not only the visible page."""
    page.get_by_role("searchbox", name="Search").fill("payments")
    count = sum("payments" in f"{s['Title']}" for s in company(MANY))
    summary(page).to_contain_text(f"{count:,} findings shown of")
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Export CSV").click()
    text = Path(downloading.value.path()).read_text("utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    assert len(rows) == count > 100
    assert rows[0]["severity"] == "CRITICAL"
    assert all("payments" in row["title"] for row in rows)


def test_sorting(page: Page) -> None:
    """A header sorts, a second click reverses the order, and assistive technology gets both."""
    header = page.get_by_role("columnheader", name="Updated")
    header.get_by_role("button").click()
    expect(header).to_have_attribute("aria-sort", "descending")
    expect(page.locator("#rows .c-updated time").first).to_have_text("2026-03-09 06:39:00")
    header.get_by_role("button").click()
    expect(header).to_have_attribute("aria-sort", "ascending")
    expect(page.locator("#rows .c-updated time").first).to_have_text("2026-03-02 08:00:00")


def test_finding_detail(page: Page, picture: Callable[[str], None]) -> None:
    """A finding opens beside the table with its summary, history and whole document, and closes again."""
    title = page.locator("#rows .open").nth(2)
    name = title.text_content()
    assert name is not None
    title.click()
    panel = page.get_by_role("complementary", name="Finding")
    expect(panel.get_by_role("heading", name=name)).to_be_focused()
    expect(panel.locator(".history")).to_contain_text("Created")
    expect(panel).to_contain_text("What to do: See what")
    assert "null" not in (panel.text_content() or "")
    picture("detail")
    panel.get_by_text("ASFF document").click()
    document = json.loads(panel.locator("pre").text_content() or "")
    assert document["Title"] == name
    picture("document")
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(title).to_be_focused()


def test_suppressing_findings(page: Page, hub: HubProcess, picture: Callable[[str], None]) -> None:
    """Selected findings are suppressed with a reason, as by an analyst, and leave the default view."""
    titles = page.locator("#rows .open").all_text_contents()[:3]
    for position in range(3):
        page.locator("#rows .pick").nth(position).check()
    expect(page.locator("#selected")).to_have_text("3 findings selected")
    picture("selection")
    page.get_by_role("toolbar", name="Act on the selected findings").get_by_role("button", name="Suppress").click()
    dialog = page.get_by_role("dialog", name="Suppress 3 findings")
    dialog.get_by_role("button", name="Suppress").click()
    expect(dialog.get_by_role("textbox", name="Reason")).to_be_focused()
    assert hub.findings(workflow="SUPPRESSED") == []
    dialog.get_by_role("textbox", name="Reason").fill("Accepted until May")
    dialog.get_by_role("button", name="Suppress").click()
    expect(page.get_by_role("status")).to_have_text("3 findings set to Suppressed.")
    summary(page).to_contain_text("9,997 findings")
    suppressed = hub.findings(workflow="SUPPRESSED")
    assert sorted(f["Title"] for f in suppressed) == sorted(titles)
    assert {f["Note"]["Text"] for f in suppressed} == {"Accepted until May"}
    page.get_by_role("checkbox", name="New", exact=True).uncheck()
    page.get_by_role("checkbox", name="Notified", exact=True).uncheck()
    page.get_by_role("checkbox", name="Suppressed", exact=True).check()
    expect(page.locator("#rows tr")).to_have_count(3)
    expect(page.locator("#rows .c-workflow").first).to_have_text("Suppressed")
    page.get_by_label("Select all findings of this page").check()
    page.get_by_role("toolbar", name="Act on the selected findings").get_by_role("button", name="Reopen").click()
    expect(page.get_by_text("No finding matches these filters.")).to_be_visible()
    assert hub.findings(workflow="SUPPRESSED") == []


def test_writing_a_note(page: Page, hub: HubProcess) -> None:
    """A note is written in the detail view, and shown there."""
    page.locator("#rows .open").first.click()
    panel = page.get_by_role("complementary", name="Finding")
    panel.get_by_role("button", name="Add note…").click()
    page.get_by_role("textbox", name="Note").fill("Owner told; due on Friday")
    page.get_by_role("textbox", name="Written by").fill("Mina")
    page.get_by_role("button", name="Save note").click()
    expect(panel.locator(".note")).to_contain_text("Owner told; due on Friday")
    expect(panel.locator(".history li").first).to_contain_text("note by Mina: Owner told")
    assert any(f.get("Note", {}).get("UpdatedBy") == "Mina" for f in hub.findings())


def test_live_updates(page: Page, hub: HubProcess) -> None:
    """New findings appear without a reload; selection, focus and scroll position stay."""
    page.get_by_role("searchbox", name="Search").fill("ingest-1")
    expect(page.locator("#rows tr").first).to_contain_text("ingest-1")
    page.locator("#rows .pick").nth(5).check()
    page.locator("#scroll").evaluate("element => { element.scrollTop = 40; }")
    expect(page.locator("#rows .pick").nth(5)).to_be_focused()
    send(hub, [finding("live", Title="Fresh from ingest-1", FindingProviderFields={"Severity": {"Label": "CRITICAL"}})])
    expect(page.get_by_role("button", name="Fresh from ingest-1")).to_be_attached(timeout=20_000)
    expect(page.locator("#selected")).to_have_text("1 finding selected")
    assert page.evaluate("document.activeElement.checked") is True
    send(hub, [finding("live", Title="Fresh from ingest-1, fixed", UpdatedAt=later(1), RecordState="ARCHIVED")])
    expect(page.get_by_role("button", name="Fresh from ingest-1")).to_have_count(0, timeout=20_000)


def test_markup_is_escaped(page: Page, hub: HubProcess) -> None:
    """Markup in a finding is shown as text, and a script URL is not a link."""
    resources = [{"Type": "Other", "Id": INJECTION, "Details": {"Other": {INJECTION[:100]: INJECTION}}}]
    remediation = {"Recommendation": {"Text": INJECTION, "Url": "javascript:document.title='owned'"}}
    fields = {"Severity": {"Label": "CRITICAL", "Original": "x"}, "Types": ["TTPs"]}
    send(
        hub,
        [
            finding(
                "injection",
                Title=INJECTION,
                Description=INJECTION,
                Resources=resources,
                Remediation=remediation,
                ProductFields={"x/cluster": INJECTION},
                FindingProviderFields=fields,
            )
        ],
    )
    page.get_by_role("searchbox", name="Search").fill("onerror")
    title = page.locator("#rows .open").first
    expect(title).to_have_text(INJECTION)
    title.click()
    panel = page.get_by_role("complementary", name="Finding")
    expect(panel.get_by_role("heading", level=2)).to_have_text(INJECTION)
    assert page.locator("main img, aside img, aside script, main script").count() == 0
    assert panel.locator("a").count() == 0
    expect(page).to_have_title(TITLE)


def test_keyboard_navigation(page: Page) -> None:
    """Searching, walking the rows, selecting and opening work without a mouse."""
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox", name="Search")).to_be_focused()
    page.keyboard.type("gateway-1")
    expect(page.locator("#rows tr").first).to_contain_text("gateway-1")
    page.locator("#rows .pick").first.focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#rows .pick").nth(1)).to_be_focused()
    page.keyboard.press("Space")
    expect(page.locator("#selected")).to_have_text("1 finding selected")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowUp")
    first = page.locator("#rows .open").first
    expect(first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("complementary", name="Finding")).to_be_visible()
    page.keyboard.press("Escape")
    expect(first).to_be_focused()


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (800, "light"), (1280, "dark")])
def test_layouts_fit_the_window(page: Page, picture: Callable[[str], None], width: int, scheme: Any) -> None:
    """Nothing overflows on a telephone, at 800 pixels, or in dark mode."""
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator("#scroll").evaluate("element => element.scrollWidth <= element.clientWidth")
    picture(f"{width}-{scheme}")
    page.locator("#rows .open").first.click()
    panel = page.get_by_role("complementary", name="Finding")
    expect(panel).to_be_in_viewport()
    panel.get_by_role("button", name="Close").click(trial=True)  # no other element covers it
    assert panel.evaluate("element => element.scrollWidth <= element.clientWidth")
    picture(f"{width}-{scheme}-detail")
    page.keyboard.press("Escape")
    page.locator("#rows .pick").first.check()
    for button in ("Suppress", "Add note…"):
        expect(page.get_by_role("toolbar").get_by_role("button", name=button)).to_be_in_viewport()
    picture(f"{width}-{scheme}-selection")


def test_a_telephone_shows_rows(page: Page) -> None:
    """The first rows are visible because filters are folded; the list scrolls with the page, the actions stay."""
    page.set_viewport_size({"width": 390, "height": 844})
    expect(page.locator("#rows .open").nth(2)).to_be_in_viewport()
    expect(page.get_by_role("combobox", name="Policy")).to_be_hidden()
    page.get_by_role("button", name="Filters", exact=True).click()
    page.get_by_role("combobox", name="Namespace").select_option("payments")
    summary(page).to_contain_text("1,430 findings shown of")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    last = page.locator("#rows tr").nth(99)
    last.scroll_into_view_if_needed()
    expect(last.locator(".open")).to_be_in_viewport()
    last.locator(".pick").check()
    expect(page.locator("#selected")).to_have_text("1 finding selected")
    expect(page.get_by_role("toolbar").get_by_role("button", name="Suppress")).to_be_in_viewport()


def test_content_security_policy(hub: HubProcess) -> None:
    """The page's policy allows only its own files."""
    connection = HTTPConnection(hub.url.removeprefix("http://"))
    connection.request("GET", "/")
    response = connection.getresponse()
    policy = response.getheader("Content-Security-Policy") or ""
    connection.close()
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'")
    assert "unsafe" not in policy
