"""The page as people meet it: opened from disk in a real browser."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from spatialdreamer_core.report.page import render_report
from tests.browser import asked_for, browser, complaints, needs_browser
from tests.core.report.test_page import done, failed

pytestmark = [pytest.mark.browser, needs_browser]
CLIPS = 10_000
LEFT, DEPTH, MADE, RED_CYAN = (200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0)


def strip() -> bytes:
    """A contact sheet whose four panels are red, green, blue and yellow."""
    panels = [np.full((90, 160, 3), colour[::-1], np.uint8) for colour in (LEFT, DEPTH, MADE, RED_CYAN)]
    return cv2.imencode(".jpg", np.hstack(panels))[1].tobytes()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder: Path = tmp_path_factory.mktemp("page")
    rows = [
        done(
            n % 50, f"films/{n // 50:03d}.mp4", comfort_score=(n * 37 % 1000) / 10, comfort_flags=["front"], gate="pass"
        )
        for n in range(CLIPS - 2)
    ]
    rows += [failed(n, "films/broken.mp4", message="frame 7 is torn", gate="fail") for n in range(2)]
    (folder / "report.html").write_text(render_report(rows, lambda row: strip()), encoding="utf-8")
    with browser(folder / "profile") as driver:
        driver.get((folder / "report.html").as_uri())
        yield driver


def clips(page: Any, what: str) -> list[Any]:
    return list(page.find_elements("css selector", f"#clips {what}"))


def column(page: Any, label: str) -> list[str]:
    """The texts of one column of the rows that exist now."""
    number = [head.text for head in clips(page, "th")].index(label)
    rows = "[...document.querySelectorAll('#clips tbody tr:not(:has(.gap))')]"
    script = f"return {rows}.map(row => row.cells[arguments[0]].textContent)"
    return list(page.execute_script(script, number))


def test_the_page_opens_from_disk_without_asking_for_anything_else(page: Any) -> None:
    assert complaints(page) == []
    assert {address.partition(":")[0] for address in asked_for(page)} <= {"file", "data"}
    assert "2 of 10,000 clips failed" in page.find_element("css selector", "header").text


def test_of_ten_thousand_rows_only_those_in_sight_exist(page: Any) -> None:
    assert 10 < len(clips(page, "tbody tr")) < 80
    scroll = clips(page, ".scroll")[0]
    page.execute_script("arguments[0].scrollTop = arguments[0].scrollHeight", scroll)
    page.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    assert column(page, "File")[-1] == "broken.mp4"
    assert 10 < len(clips(page, "tbody tr")) < 80
    page.execute_script("arguments[0].scrollTop = 0", scroll)


def test_a_click_on_a_head_sorts_all_rows_and_the_next_turns_them_around(page: Any) -> None:
    comfort = next(head for head in clips(page, "th") if head.text == "Comfort")
    comfort.click()
    assert column(page, "Comfort")[:2] == ["100", "100"]
    assert comfort.get_attribute("aria-sort") == "descending"
    comfort.click()
    assert column(page, "Comfort")[0] == "0"


def test_words_and_choices_filter_the_rows(page: Any) -> None:
    search, told = clips(page, "input")[0], clips(page, ".bar-row > span")[0]
    search.send_keys("films/007")
    assert told.text == "50 of 10,000 clips"
    assert set(column(page, "File")) == {"007.mp4"}
    search.clear()
    search.send_keys(" ")
    clips(page, "select option[value=failed]")[0].click()
    assert told.text == "2 of 10,000 clips"
    assert column(page, "For") == ["decode_failed"] * 2
    clips(page, "select option")[0].click()
    clips(page, "select[aria-label^=Gate] option[value=fail]")[0].click()
    assert column(page, "Gate") == ["fail"] * 2
    clips(page, "select[aria-label^=Gate] option")[0].click()
    assert told.text == "10,000 of 10,000 clips"


def test_a_click_on_a_file_shows_its_clips(page: Any) -> None:
    page.find_element("css selector", "#files tbody button").click()
    assert clips(page, ".bar-row > span")[0].text == "50 of 10,000 clips"
    assert set(column(page, "File")) == {"000.mp4"}
    clips(page, ".bar-row > button")[0].click()
    assert clips(page, ".bar-row > span")[0].text == "10,000 of 10,000 clips"


def colour_of(element: Any) -> list[int]:
    """The colour in the middle of an element, as the browser paints it."""
    data = np.frombuffer(base64.b64decode(element.screenshot_as_base64), np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
    return [int(value) for value in picture[picture.shape[0] // 2, picture.shape[1] // 2]]


def test_a_picture_opens_in_stereo_and_every_view_shows_its_panels(page: Any) -> None:
    picture = page.find_element("css selector", ".film img")
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", picture)
    picture.click()
    stage = page.find_element("css selector", "dialog .stage")
    buttons = {button.text: button for button in page.find_elements("css selector", "dialog button")}
    for view, wanted in {"Left": [LEFT], "Depth": [DEPTH], "Made": [MADE], "Red-cyan": [RED_CYAN]}.items():
        buttons[view].click()
        for panel, colour in zip(stage.find_elements("css selector", "div"), wanted, strict=True):
            assert colour_of(panel) == pytest.approx(colour, abs=12), view
    buttons["Side by side"].click()
    sides = [colour_of(panel) for panel in stage.find_elements("css selector", "div")]
    assert [np.argmax(side) for side in sides] == [0, 2]
    buttons["Wiggle"].click()
    eyes = page.execute_async_script(
        "const seen = new Set(), done = arguments[0], div = document.querySelector('dialog .stage div');"
        "const look = () => { seen.add(div.dataset.eye); seen.size > 1 ? done([...seen]) : setTimeout(look, 20); };"
        "look();"
    )
    assert sorted(eyes) == ["0", "1"]
    buttons["Close"].click()
    assert not page.find_element("css selector", "dialog").is_displayed()


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_and_follows_the_colours_of_the_reader(page: Any, width: int, scheme: str) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    ground = page.execute_script("return getComputedStyle(document.body).backgroundColor")
    level = max(int(part) for part in ground.removeprefix("rgb(").removesuffix(")").split(","))
    assert (level < 60) == (scheme == "dark")
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
