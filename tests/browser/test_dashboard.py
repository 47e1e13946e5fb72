"""The dashboard's views in a real browser, on a sandbox with the operator."""

import json
import re
import time
from typing import Any

import pytest
import urllib3
from selenium.webdriver import ActionChains, Keys

from tests.browser.chromium import PHONE, Browser
from tests.browser.scene import HOSTILE, MARK, ROUTES, Scene, autoscaler, remember
from tests.harness.space import actor

pytestmark = pytest.mark.only("sandbox")

CONTRAST = """
const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
const rgb = (colour, under) => {
  canvas.clearRect(0, 0, 1, 1);
  for (const c of [under, colour]) if (c) { canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1); }
  return [...canvas.getImageData(0, 0, 1, 1).data];
};
const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
  .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0);
const ground = (node) => {
  for (let at = node; at; at = at.parentElement) {
    const colour = getComputedStyle(at).backgroundColor;
    if (rgb(colour)[3] === 255) return colour;
  }
  return "white";
};
const poor = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || !node.checkVisibility() || node.closest("svg, option, noscript")) continue;
  const [a, b] = [light(rgb(getComputedStyle(node).color, ground(node))), light(rgb(ground(node)))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) poor.push(`${walker.currentNode.data.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
}
return poor;
"""
"""Finds text with less contrast than WCAG 2 AA requires: https://www.w3.org/TR/WCAG21/#contrast-minimum"""
UNNAMED = """
return [...document.querySelectorAll("a, button, input, select, [role=img], [tabindex='0']")].filter((e) =>
  e.checkVisibility() && !(e.textContent.trim() || e.getAttribute("aria-label") || (e.labels && e.labels.length)))
  .map((e) => e.outerHTML.slice(0, 120));
"""
"""Finds elements that a screen reader cannot name."""


def visit(browser: Browser, scene: Scene, part: str = "", *texts: str) -> None:
    browser.open(f"{scene.url}{part}")
    browser.until_text(*texts)


def test_the_table_shows_phase_pods_queue_and_problem(browser: Browser, scene: Scene) -> None:
    remember(scene, {"intake": (40, 35), "translator": (160, 80)})
    browser.until("the autoscalers", lambda: all(_length(scene, name) for name in ("intake", "translator")))
    visit(browser, scene, "", "summarizer", "Running", "ImagePullError", "QueueMissing", "Paused", "Napping")
    rows = {e.get_attribute("data-key"): e.text for e in browser.all(".row[data-key]")}
    assert {f"{scene.space.name}/{name}" for name in (*ROUTES, "broken", "web", "nightly")} <= rows.keys()
    assert "1/1" in rows[f"{scene.space.name}/intake"]
    assert str(_length(scene, "intake")) in rows[f"{scene.space.name}/intake"]
    assert "WorkloadNotFound" in rows[f"{scene.space.name}/web"]
    spark = browser.one(f"[data-key='{scene.space.name}/translator'] .spark")
    assert "length of the queue: now" in str(spark.get_attribute("aria-label"))
    browser.one("[data-tone=wrong].chip").click()
    assert len(browser.all(".row[data-key]")) == 3
    browser.one("[data-tone=wrong].chip").click()
    assert len(browser.all(".row[data-key]")) == len(rows)
    assert browser.problems() == []


def _length(scene: Scene, name: str) -> Any:
    made = scene.dashboard.board.row(scene.space.name, name) or {}
    return made.get("length")


def test_changes_appear_without_a_request_for_each_actor(browser: Browser, scene: Scene) -> None:
    visit(browser, scene, "", "summarizer")
    browser.run("window.kept = document.querySelector('[data-key$=\"/intake\"]')")
    start_time = time.monotonic()
    scene.space.apply(actor("newcomer"))
    browser.until_text("newcomer")
    autoscaler(scene.space, "language", 777)
    browser.until_text("777")
    scene.space.delete("AsyncActor", "newcomer")
    browser.until("it to go", lambda: "newcomer" not in browser.text())
    assert browser.run("return window.kept.isConnected"), "a row that did not change was drawn again"
    paths = [a.path for a in scene.proxy.since(start_time) if a.path not in ("/version",)]
    assert paths == [], "the page sent requests for single actors"


def test_an_actors_page_shows_injection_problems_and_remedies(browser: Browser, scene: Scene) -> None:
    visit(browser, scene, f"#/actor/{scene.space.name}/broken", "What was injected", "message 3f2a handled")
    page = browser.text()
    for part in (
        "An image cannot be pulled.",
        "PodsReady",
        "no such tag.",
        "What to do: Check the image's name",
        "+ container sidecar (first of containers)",
        "ImagePullBackOff",
        "Events",
        "resources.limits: not set",
    ):
        assert part in page, part
    assert HOSTILE in page, "the page interprets text as markup"
    assert "\x1b" not in page
    assert browser.driver.title == f"broken ({scene.space.name}) · Asya"
    assert not browser.all("main img, main script")
    assert browser.problems() == []


def test_the_page_pauses_and_resumes_an_actor(browser: Browser, scene: Scene) -> None:
    visit(browser, scene, f"#/actor/{scene.space.name}/thumbnails", "Conditions")
    browser.until("the button", lambda: browser.one(".title .button").text == "Pause")
    browser.one(".title .button").click()
    browser.until_text("thumbnails: paused", selector="#said")
    browser.until("the other button", lambda: browser.one(".title .button").text == "Resume")
    scene.space.wait_condition("thumbnails", "ScalingReady", "True", "ScalingPaused")
    browser.one(".title .button").click()
    browser.until("the first button", lambda: browser.one(".title .button").text == "Pause")
    browser.until_text("thumbnails: resumed", selector="#said")


def test_the_page_lists_and_replays_dead_letters(browser: Browser, scene: Scene) -> None:
    visit(browser, scene, f"#/actor/{scene.space.name}/summarizer", "Dead letters")
    browser.button("Ask the broker").click()
    browser.until_text("4711", "does not exist")
    scene.letters.refuses = "the broker at rabbitmq:5672 does not answer"
    browser.button("Look for dead letters").click()
    browser.until_text("does not answer")
    scene.letters.refuses = ""
    browser.button("Look for dead letters").click()
    browser.until_text("ValueError: the text is empty", HOSTILE)
    browser.one("input[value='m-2']").send_keys(Keys.SPACE)
    browser.button("Replay the chosen").click()
    browser.until("the replay", lambda: scene.letters.replayed == ["m-2"])
    browser.until("the rest", lambda: len(browser.all(".letters > li")) == 2)
    assert browser.driver.title.startswith("summarizer")
    [problem] = browser.problems()
    assert "409" in problem, "the console has more than the refusal"


def test_the_graph_shows_routes_with_rates(browser: Browser, scene: Scene) -> None:
    visit(browser, scene, "#/routes", "Who sends to whom", "x-sink")
    browser.until("all rates", lambda: "…" not in browser.text(".plain"))
    edges = {
        tuple(cell.text.split()[0] for cell in row.find_elements("tag name", "td")[:2]): row.text
        for row in _rows(browser)
    }
    assert edges.keys() == {(source, target) for source, targets in ROUTES.items() for target in targets}
    assert re.search(r"4[0-9](\.\d)?/s", edges["intake", "language"]), edges
    assert "idle" in edges["publisher", "intake"]
    assert len(browser.all("svg .edge")) == sum(map(len, ROUTES.values()))
    node = next(n for n in browser.all("svg a.node") if "summarizer" in n.text)
    node.send_keys(Keys.ENTER)
    browser.until("its page", lambda: browser.driver.title.startswith("summarizer"))
    assert browser.problems() == []


def _rows(browser: Browser) -> list[Any]:
    return browser.all(".plain tbody tr")


def test_a_missing_right_is_named(browser: Browser, scene: Scene) -> None:
    scene.pods.denied = True
    scene.dashboard.services.scraper.forget()
    try:
        visit(
            browser, scene, "#/routes", "You may not get pods/proxy", "kubectl auth can-i get pods --subresource proxy"
        )
        visit(browser, scene, f"#/actor/{scene.space.name}/intake", "You may not get pods/log")
    finally:
        scene.pods.denied = False


def test_the_keyboard_reaches_everything(browser: Browser, scene: Scene) -> None:
    visit(browser, scene, "", "summarizer")
    keys = ActionChains(browser.driver)
    keys.send_keys(Keys.TAB).perform()
    assert browser.run("return document.activeElement.className") == "skip"
    ActionChains(browser.driver).send_keys("/").perform()
    assert browser.run("return document.activeElement.id") == "search"
    ActionChains(browser.driver).send_keys("transl").perform()
    browser.until("the one", lambda: len(browser.all(".row[data-key]")) == 1)
    ActionChains(browser.driver).send_keys(Keys.TAB).perform()
    assert browser.run("return document.activeElement.textContent") == "translator"
    assert browser.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    ActionChains(browser.driver).send_keys(Keys.ENTER).perform()
    browser.until("its page", lambda: browser.driver.title.startswith("translator"))
    assert browser.run("return document.activeElement.tagName") == "H1"
    browser.open(scene.url)


@pytest.mark.parametrize("dark", [False, True])
def test_the_page_is_legible_and_named_and_fits_a_phone(browser: Browser, scene: Scene, dark: bool) -> None:
    browser.prefer(dark=dark, reduced_motion=dark)
    browser.resize(PHONE, mobile=True)
    for part, text in (
        ("", "summarizer"),
        (f"#/actor/{scene.space.name}/broken", "What was"),
        ("#/routes", "Who sends"),
    ):
        visit(browser, scene, part, text)
        assert browser.run("return document.documentElement.scrollWidth") <= PHONE[0], part
        assert browser.run(CONTRAST) == [], part
        assert browser.run(UNNAMED) == [], part
    ground = browser.run("return getComputedStyle(document.documentElement).backgroundColor")
    assert (sum(int(n) for n in re.findall(r"\d+", ground)[:3]) < 200) == dark


def test_the_page_loads_nothing_from_other_hosts_and_no_secret(browser: Browser, scene: Scene) -> None:
    visit(browser, scene, f"#/actor/{scene.space.name}/broken", "What was injected", "message 3f2a handled")
    names = browser.run("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert len(names) > 8
    assert all(name.startswith(scene.url) for name in names), names
    base = f"{scene.url}actors/{scene.space.name}/broken"
    sent = [
        browser.run("return document.documentElement.outerHTML"),
        *(
            _text(scene, path)
            for path in (
                base,
                f"{base}/logs",
                f"{base}/logs?container=sidecar",
                f"{base}/letters",
                f"{scene.url}routes",
            )
        ),
    ]
    with urllib3.request("GET", f"{scene.url}events", preload_content=False) as stream:
        sent.append(next(part.decode() for part in stream.stream(1 << 20) if b"snapshot" in part))
    for text in sent:
        assert text
        assert MARK not in text
        assert json.dumps(MARK) not in text
    assert "DB_PASSWORD=***" in sent[2]


def _text(scene: Scene, url: str) -> str:
    return urllib3.request("GET", url).data.decode()
