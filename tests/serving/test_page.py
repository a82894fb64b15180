"""The page for people, in a headless Chromium."""

import shutil

import pytest

EXTRA = "needs the extra: pip install '.[serve]'"
pytest.importorskip("fastapi", reason=EXTRA)
pytest.importorskip("uvicorn", reason=EXTRA)
pytest.importorskip("prometheus_client", reason=EXTRA)
selenium = pytest.importorskip("selenium", reason="needs pip install '.[dev]'")

from selenium import webdriver  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import Select, WebDriverWait  # noqa: E402

from tests.serving.running import running  # noqa: E402
from tests.serving.stub_models import (  # noqa: E402
    CLASSIFIER,
    NUMBER,
    READER,
    TAGS,
)

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
needs_chromium = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs Debian's chromium and chromium-driver"
)
KEY = "k" * 32


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    flags = "--headless=new --no-sandbox --disable-dev-shm-usage --disable-gpu"
    for flag in flags.split():
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def client():
    with running([CLASSIFIER, READER, NUMBER, TAGS]) as client:
        yield client


class Page:
    """The page at a client's server, as somebody sees it."""

    def __init__(self, browser, client):
        self.browser = browser
        browser.get_log("browser")
        browser.get(f"{client.base_url}/")

    def find(self, selector):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector):
        return self.find(selector).text

    def until(self, holds):
        return WebDriverWait(self.browser, 30, 0.02).until(lambda _: holds())

    def choose(self, name):
        self.until(lambda: self.find("#model").is_displayed())
        Select(self.find("#model")).select_by_visible_text(f"{name}, version 1")

    def ask(self):
        self.find("#ask").click()
        self.until(lambda: self.text("#result"))
        return self.text("#result").split("\n")

    def errors(self):
        return [line["message"] for line in self.browser.get_log("browser")]


@needs_chromium
def test_a_classifier_shows_its_labels_with_bars(browser, client):
    page = Page(browser, client)
    page.choose("cola")
    assert page.find("label[for=field-sentence]").text == "sentence"
    page.find("#example").click()
    assert page.find("#field-sentence").get_attribute("value") == "Dogs bark."
    page.find("#example").click()
    assert page.find("#field-sentence").get_attribute("value") == "Bark the dogs."
    lines = page.ask()
    assert lines[:5] == ["label 10", "label 10", "70.0 %", "label 11", "20.0 %"]
    assert lines[-2] == "and 2 labels less likely"
    assert lines[-1].startswith("answered in ") and lines[-1].endswith(" ms")
    whole = page.find("#result li").size["width"]
    assert page.find("#result .bar").size["width"] == pytest.approx(0.7 * whole, abs=2)
    assert page.errors() == []


@needs_chromium
def test_keyboard_alone_gets_an_answer_and_it_is_text(browser, client):
    """Tags in an answer are shown, not run."""
    page = Page(browser, client)
    page.choose("squad")
    page.find("#model").send_keys(Keys.TAB)
    assert browser.switch_to.active_element.get_attribute("id") == "field-question"
    browser.switch_to.active_element.send_keys("Who?", Keys.TAB, "Ana lives in Oslo.")
    context = browser.switch_to.active_element
    assert context.get_attribute("id") == "field-context"
    context.send_keys(Keys.CONTROL, Keys.ENTER)
    page.until(lambda: page.text("#result"))
    assert page.text("#result .answer") == "<b>Oslo</b>"
    assert "score 25.0 %" in page.text("#result")
    assert page.find("#result").get_attribute("aria-live") == "polite"


@needs_chromium
@pytest.mark.parametrize(("name", "answer"), [("stsb", "2.5"), ("tags", "php, sql")])
def test_numbers_and_several_labels(browser, client, name, answer):
    page = Page(browser, client)
    page.choose(name)
    assert not page.find("#example").is_displayed()
    assert page.ask()[0] == answer


@needs_chromium
def test_a_refusal_is_shown_in_the_servers_words(browser):
    with running([READER], keys=(KEY,)) as client:
        page = Page(browser, client)
        page.until(lambda: page.find("#key").is_displayed())
        page.find("#key").send_keys("wrong", Keys.ENTER)
        page.until(lambda: page.text("#problem") == "An API key is required")
        page.find("#key").clear()
        page.find("#key").send_keys(KEY, Keys.ENTER)
        page.until(lambda: page.find("#form").is_displayed())
        assert page.ask()[0] == "<b>Oslo</b>"
        browser.execute_script("models[0].version = 9")
        page.find("#ask").click()
        page.until(lambda: "Specific(squad, 9)" in page.text("#problem"))
        assert page.text("#result") == ""


@needs_chromium
def test_it_fits_a_phone_and_everything_has_a_name(browser, client):
    browser.set_window_size(1200, 900)
    page = Page(browser, client)
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 320, "height": 640, "deviceScaleFactor": 2, "mobile": True},
    )
    page.choose("cola")
    page.ask()
    size = "return [document.documentElement.scrollWidth, innerWidth]"
    assert browser.execute_script(size) == [320, 320]
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    controls = browser.find_elements(By.CSS_SELECTOR, "button, textarea, select")
    shown = [control for control in controls if control.is_displayed()]
    assert len(shown) == 4 and all(control.accessible_name for control in shown)


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_of_text_is_high_enough(browser, client, scheme):
    """WCAG 2.1 asks 4.5 : 1 of text (1.4.3)."""
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    page = Page(browser, client)
    page.choose("cola")
    page.ask()
    pairs = {"h1": "body", ".hint": "body", ".number": ".bar", "#ask": "#ask"}
    for text, ground in pairs.items():
        color = page.find(text).value_of_css_property("color")
        under = page.find(ground).value_of_css_property("background-color")
        assert contrast(color, under) >= 4.5, text
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(color):
    channels = [
        int(part) / 255 for part in color[color.index("(") + 1 : -1].split(",")[:3]
    ]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in channels
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@needs_chromium
def test_the_api_in_words(browser, client):
    page = Page(browser, client)
    browser.get(f"{client.base_url}/docs")
    page.until(lambda: page.text("h2"))
    assert "POST /v1/models/{name}:predict" in page.text("main")
    assert "Too many requests wait" in page.text("main")
    assert page.errors() == []


def test_nothing_comes_from_outside(client):
    """The policy lets a browser load nothing else, were it asked to."""
    for path in ("/", "/docs", "/page/page.css", "/page/page.js", "/page/docs.js"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert "http:" not in answer.text and "https:" not in answer.text
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert client.get("/").headers["content-type"] == "text/html; charset=utf-8"


def test_only_the_empty_page_is_open_without_a_key():
    with running([READER], keys=(KEY,)) as client:
        for path in ("/", "/page/page.css", "/page/page.js"):
            assert client.get(path).status_code == 200
        for path in ("/page/models", "/docs", "/openapi.json", "/metrics"):
            assert client.get(path).status_code == 401
