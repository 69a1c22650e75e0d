"""The page in a headless Chromium: over a scripted control process and gateway."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import wait_until
from tests.screen import figures
from tests.screen.browser import Browser
from tests.screen.stage import KEY, Stage

pytestmark = pytest.mark.timeout(180)
MakeStage = Callable[..., Stage]

PRICES = "document.querySelector('#line-prices').innerText"
FIGURES = "document.querySelector('#line-figures').innerText"
LTP = "document.querySelector('#detail .big').innerText"
#: What moves in the rows in sight.
ROWS = "[...document.querySelectorAll('#list .row:not([hidden]) .ltp')].map((e) => e.innerText)"
#: Texts in sight whose colours are too near to those behind them (WCAG 2: 4.5 to 1).
FAINT = """(() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const found = rgb(getComputedStyle(e).backgroundColor);
      if ((found[3] ?? 1) === 1) return found;
    }
    return [255, 255, 255];
  };
  const found = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    const text = walker.currentNode.data.trim();
    if (!text || !e.checkVisibility() || e.closest(":disabled, noscript, .skip")) continue;
    const [one, other] = [light(rgb(getComputedStyle(e).color)), light(behind(e))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) found.add(`${e.className} ${text.slice(0, 20)}: ${ratio.toFixed(2)}`);
  }
  return [...found];
})()"""
#: Each element that is wider than the window.
WIDE = "document.documentElement.scrollWidth > innerWidth"
#: Tables that one would have to scroll to the side in.
CUT = """[...document.querySelectorAll(".scroll")]
  .filter((e) => e.scrollWidth > e.clientWidth).map((e) => e.getAttribute("aria-label"))"""
NOTICES = "document.querySelector('#notices').innerText"


def until_prices_move(browser: Browser, what: str = LTP) -> None:
    before = json.dumps(browser.run(f"JSON.stringify({what})"))
    browser.until(f"JSON.stringify({what}) !== {before}")


def opened(browser: Browser, stage: Stage, **options: Any) -> None:
    browser.open(stage.url, **options)
    browser.until(f"{FIGURES}.includes('live since')")


def test_prices_move_and_go_on_after_the_gateway_was_away(
    browser: Browser, make_stage: MakeStage
) -> None:
    stage = make_stage()
    opened(browser, stage)
    browser.until(f"{PRICES}.includes('live since')")
    until_prices_move(browser)
    until_prices_move(browser, ROWS)
    browser.until("document.querySelectorAll('.depth .price').length === 10")
    browser.until("!document.querySelector('.depth .price').innerText.includes('–')")
    browser.until("document.querySelector('.candles canvas') !== null")
    browser.until("document.querySelectorAll('#connections-body tbody tr').length === 3")
    browser.until("document.querySelector('#latency-chart canvas') !== null")
    assert browser.complaints == []
    stage.stop_gateway()
    browser.until(f"/disconnected since \\d\\d:\\d\\d:\\d\\d/.test({PRICES})")
    browser.until("document.querySelector('#detail').hasAttribute('data-old')")
    browser.until("document.querySelector('#detail').innerText.includes('ago')")
    assert "live since" in browser.run(FIGURES), "the figures come from elsewhere"
    browser.do("forgive")  # a browser tells of each attempt that fails
    stage.start_gateway()
    browser.until(f"{PRICES}.includes('live since')")
    until_prices_move(browser)
    browser.until("!document.querySelector('#detail').hasAttribute('data-old')")


def test_messages_by_hand(browser: Browser, make_stage: MakeStage) -> None:
    stage = make_stage()
    opened(browser, stage)
    log = "document.querySelector('#console .log').innerText"
    browser.run("document.querySelector('#console').scrollIntoView()")
    browser.do("click", selector="#console-body button.main >> nth=0")
    browser.until(f"{log}.includes('connected to ws://127.0.0.1')")
    for name, answered in (("Authenticate", '"type": "auth"'), ("Subscribe LTP", "market_data")):
        browser.do("click", selector=f".examples button:has-text('{name}')")
        browser.do("click", selector="button:text-is('Send')")
        browser.until(f"{log}.includes({json.dumps(answered)})")
    assert KEY not in browser.run("document.documentElement.outerHTML")
    assert browser.complaints == []


@pytest.mark.full
def test_nine_thousand_instruments(browser: Browser, make_stage: MakeStage) -> None:
    """Few rows, few subscriptions, few updates; search and keyboard reach every one."""
    stage = make_stage(instruments=9000)
    opened(browser, stage)
    browser.until("document.querySelector('#tab-all').innerText.includes('9,000')")
    until_prices_move(browser, ROWS)
    assert browser.run("document.querySelectorAll('#list .row').length") < 40
    browser.do("click", selector="#list .row >> nth=2")
    browser.do("press", key="End")
    last = figures.instruments(9000, 3)["rows"]
    name = max(row[2] for row in last if row[1] == "NSE")
    browser.until(f"document.querySelector('#detail h3').innerText === '{name}'")
    until_prices_move(browser)
    browser.do("press", key=" ")
    browser.until("document.querySelector('#tab-watched').innerText === 'Watched (1)'")
    browser.do("click", selector="#detail button:has-text('Watched')")
    browser.until("document.querySelector('#tab-watched').innerText === 'Watched (0)'")
    browser.do("fill", selector="#search", text="mcx 0000")
    browser.until("document.querySelector('#list-note').innerText.startsWith('2 instruments')")
    browser.do("click", selector="#list .row .star >> nth=0")
    browser.do("click", selector="#tab-watched")
    browser.until("document.querySelector('#tab-watched').innerText === 'Watched (1)'")
    browser.do("fill", selector="#search", text="")
    assert browser.run("document.querySelectorAll('#list .row:not([hidden])').length") == 1
    assert stage.most_subscriptions < 100
    assert browser.run(WIDE) is False
    assert browser.complaints == []


@pytest.mark.full
def test_at_most_four_updates_a_second(browser: Browser, make_stage: MakeStage) -> None:
    stage = make_stage(tick_s=0.005)
    opened(browser, stage)
    until_prices_move(browser)
    counted = browser.run(
        """new Promise((resolve) => {
             let turns = 0;
             const began = performance.now();
             const watch = new MutationObserver(() => { turns += 1; });
             watch.observe(document.querySelector("main"),
               { subtree: true, childList: true, characterData: true, attributes: true });
             setTimeout(() => {
               watch.disconnect();
               resolve([turns, (performance.now() - began) / 1000]);
             }, 5000);
           })"""
    )
    turns, seconds = counted
    print(f"{turns} updates in {seconds:.1f} s")
    assert 0 < turns <= 4 * seconds + 2


@pytest.mark.full
def test_a_control_process_that_is_away_is_told_since_when(
    browser: Browser, make_stage: MakeStage
) -> None:
    stage = make_stage()
    opened(browser, stage)
    browser.until("document.querySelector('#tiles').innerText.includes('Health')")
    stage.figures_on = False
    browser.until(f"/disconnected since \\d\\d:\\d\\d:\\d\\d/.test({FIGURES})")
    browser.until(f"{NOTICES}.includes('what was known at')")
    assert browser.run("document.body.hasAttribute('data-stale')")
    assert browser.text("#instance-state").startswith("was ")
    until_prices_move(browser)  # the gateway has not noticed anything
    stage.figures_on = True
    browser.until(f"{FIGURES}.includes('live since')")
    browser.until("!document.body.hasAttribute('data-stale')")


@pytest.mark.full
def test_a_session_that_has_ended_is_told_with_what_to_do(
    browser: Browser, make_stage: MakeStage
) -> None:
    stage = make_stage()
    opened(browser, stage)
    stage.signed_in = False
    browser.until(f"{FIGURES}.includes('session expired')")
    browser.until(f"{NOTICES}.includes('python -m pipeline screen')")


@pytest.mark.full
def test_without_a_gateway_all_else_is_shown(browser: Browser, make_stage: MakeStage) -> None:
    stage = make_stage()
    stage.has_gateway = False
    opened(browser, stage)
    browser.until(f"{PRICES}.includes('no gateway')")
    browser.until(f"{NOTICES}.includes('no gateway')")
    browser.until("document.querySelectorAll('#connections-body tbody tr').length === 3")


@pytest.mark.full
def test_an_instance_that_streams_nothing_says_so(browser: Browser, make_stage: MakeStage) -> None:
    stage = make_stage(instruments=0, connections=0)
    opened(browser, stage)
    browser.until(
        "document.querySelector('#connections').innerText.includes('nothing is subscribed')"
    )
    browser.until(
        "document.querySelector('#list-note').innerText.includes('Nothing is subscribed')"
    )
    chart = "document.querySelector('.chart.candles').checkVisibility()"
    assert browser.run(chart) is False, "there is nothing to draw yet"
    assert browser.complaints == []


@pytest.mark.full
def test_what_was_refused_and_then_was_not_is_no_longer_called_so(
    browser: Browser, make_stage: MakeStage
) -> None:
    stage = make_stage()
    stage.refuses = {row[2] for row in stage.instruments["rows"]}
    opened(browser, stage)
    refused = "document.querySelector('#list').innerText.includes('refused')"
    browser.until(refused)
    browser.until("document.querySelector('#detail').innerText.includes('refused it: no room')")
    stage.refuses = set()
    stage.stop_gateway()
    stage.start_gateway()
    until_prices_move(browser)
    browser.until(f"!{refused}")
    first = stage.instruments["rows"][0][2]
    stage.refuses = {first}
    browser.do("fill", selector="#search", text=first)
    browser.do("click", selector="#list .row >> nth=0")
    browser.until(f"{refused}")
    stage.refuses = set()
    browser.do("fill", selector="#search", text="")
    browser.do("click", selector="#list .row:not([aria-selected=true]) >> nth=1")
    browser.until(f"!{refused}")


@pytest.mark.full
def test_a_closed_market_is_told_by_the_age_of_prices(
    browser: Browser, make_stage: MakeStage
) -> None:
    stage = make_stage()
    stage.ticking = False
    opened(browser, stage)
    browser.until(f"{PRICES}.includes('live since')")
    browser.until("document.querySelector('#detail').innerText.includes('no tick yet')")
    stage.ticking = True
    until_prices_move(browser)
    stage.ticking = False
    browser.until("document.querySelector('#detail').innerText.includes('ago')")
    browser.until("document.querySelector('#list .row').innerText.includes('old')")


@pytest.mark.full
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 768, 1280, 1600, 1920])
def test_nothing_is_cut_off(
    browser: Browser, make_stage: MakeStage, theme: str, width: int
) -> None:
    """No element reaches beyond the window, whatever it is wide; text has the contrast it needs."""
    stage = make_stage()
    opened(browser, stage, width=width, theme=theme)
    until_prices_move(browser)
    assert browser.run(WIDE) is False
    assert browser.run(CUT) == []
    dark = browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(16, 20, 27)"
    assert dark is (theme == "dark")
    assert browser.run(FAINT) == []
    assert browser.complaints == []


@pytest.mark.full
@pytest.mark.parametrize(("theme", "width"), [("light", 380), ("dark", 380), ("dark", 1280)])
def test_a_bad_day_fits_any_window(
    browser: Browser, make_stage: MakeStage, theme: str, width: int
) -> None:
    stage = make_stage()
    made = stage.document
    stage.document = lambda: figures.bad_day(made())
    opened(browser, stage, width=width, theme=theme)
    until_prices_move(browser)
    browser.until(f"{NOTICES}.includes('no more than 3000 instruments')")
    browser.until("document.querySelector('#processes').innerText.includes('circuit open')")
    assert browser.run(WIDE) is False
    assert browser.run(FAINT) == []
    assert browser.complaints == []


@pytest.mark.full
def test_the_theme_can_be_chosen_and_stays(browser: Browser, make_stage: MakeStage) -> None:
    stage = make_stage()
    opened(browser, stage, theme="light")
    browser.do("choose", selector="#theme", value="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert browser.run(ground) == "rgb(16, 20, 27)"
    browser.run("location.reload()")
    browser.until(f"{FIGURES}.includes('live since')")
    assert browser.run(ground) == "rgb(16, 20, 27)"
    assert browser.run("document.querySelector('#theme').value") == "dark"


@pytest.mark.full
def test_many_names_from_outside_are_never_markup(browser: Browser, make_stage: MakeStage) -> None:
    stage = make_stage()
    evil = "<img src=x onerror=document.title='taken'>"
    stage.instruments = {
        "rows": [[1, "NSE", evil, 0, evil]], "unnamed": 0, "problem": "",
    }  # fmt: skip
    made = stage.document
    stage.document = lambda: {**made(), "problems": [evil]}
    opened(browser, stage)
    browser.until(f"{NOTICES}.includes('<img')")
    browser.until("document.querySelector('#detail h3').innerText.includes('<img')")
    assert browser.run("document.querySelector('#detail img, #list img, #notices img')") is None
    assert "taken" not in browser.run("document.title")


def test_what_a_stage_counts_is_what_pages_subscribe(make_stage: MakeStage) -> None:
    """The stage itself: without a page nothing is subscribed, and it starts where it ended."""
    stage = make_stage()
    port = stage.gateway_port
    stage.stop_gateway()
    stage.start_gateway()
    assert stage.gateway_port == port and stage.subscriptions == 0
    wait_until(lambda: stage.port > 0, timeout_s=30, what="the stage to serve")
