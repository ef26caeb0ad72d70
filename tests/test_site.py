"""The built site: links inside it lead somewhere; a browser shows every page whole, and its search finds things.

LOSSEXT_SITE names the folder that `sphinx-build -W docs site` has written; the default is `site` beside the tests.
"""

import contextlib
import functools
import html.parser
import http.server
import os
import shutil
import threading
from pathlib import Path
from urllib.parse import quote, unquote, urldefrag, urljoin

import pytest

import lossext

SITE = Path(os.environ.get("LOSSEXT_SITE") or Path(__file__).parents[1] / "site")
built = pytest.mark.skipif(
    not (SITE / "index.html").exists(), reason="no site is built: sphinx-build -W docs site, then pytest again"
)
WIDTHS = (390, 1400)
ANSWERS = {
    "pos_weight": ("boosting.html", "gallery/plot_calibration", "pitfalls.html"),
    "focal": ("boosting.html", "gallery/plot_focal"),
    "quantile": ("gallery/plot_quantile", "losses/regression.html", "boosting.html"),
    "missing": ("gallery/plot_missing", "weights.html"),
    "BCE pos_weight sklearn": ("linear_models.html",),
    "focal loss LightGBM": ("boosting.html", "gallery/plot_focal"),
    "ignore_index nan": ("pitfalls.html",),
    "sampled softmax log q correction": ("recommender.html", "losses/layer.html"),
    "quantile regression intervals": ("losses/regression.html", "gallery/plot_quantile"),
}
SEARCHED = "return document.querySelector('#search-results .search-summary')?.innerText.includes('found')"
FOUND = "return [...document.querySelectorAll('#search-results li > a')].map(a => a.getAttribute('href'))"
NOT_PAGES = {"genindex.html", "search.html", "py-modindex.html"}


class Page(html.parser.HTMLParser):
    """The links, pictures and anchors of a page."""

    def __init__(self, text):
        super().__init__()
        self.links, self.anchors = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.anchors |= {found[key] for key in ("id", "name") if found.get(key)}
        address = found.get({"a": "href", "img": "src", "link": "href", "script": "src"}.get(tag))
        if address:
            self.links.append(address)


@functools.cache
def page(path):
    return Page((SITE / path).read_text(encoding="utf-8"))


def pages():
    return sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html") if "_static" not in path.parts)


@built
def test_links_inside_resolve():
    broken = []
    for name in pages():
        for link in page(name).links:
            if "://" in link or link.startswith(("mailto:", "data:")):
                continue
            address, anchor = urldefrag(urljoin(name, unquote(link)))
            target = SITE / address.partition("?")[0]
            if not target.is_file() or (anchor and target.suffix == ".html" and anchor not in page(address).anchors):
                broken.append(f"{name}: {link}")
    assert not broken, "\n".join(broken)


@built
def test_nothing_is_fetched_from_elsewhere():
    for name in pages():
        text = (SITE / name).read_text(encoding="utf-8")
        for tag in ('<script src="http', '<img src="http', '<link rel="stylesheet" href="http'):
            assert tag not in text, name


@built
def test_every_loss_has_its_picture_and_its_place():
    for cls in lossext.registry():
        subject = f"losses/{cls.__module__.rpartition('.')[2]}.html"
        assert cls.__name__.lower() in page(subject).anchors
        assert (SITE / "_images" / f"{cls.__name__}.svg").exists()
        for public in (cls.__name__, cls.declaration.function):
            assert (SITE / "api" / "generated" / f"lossext.{public}.html").exists()
    for name in lossext.losses.layer.__all__:
        if name.endswith("Loss"):
            assert name.lower() in page("losses/layer.html").anchors
            assert (SITE / "_images" / f"{name}.svg").exists()
        assert (SITE / "api" / "generated" / f"lossext.{name}.html").exists()


@built
def test_every_public_name_is_in_the_reference():
    top = [name for name in dir(lossext) if not name.startswith("_") and callable(getattr(lossext, name))]
    names = [f"lossext.{name}" for name in top]
    names += [f"lossext.samplers.{name}" for name in lossext.samplers.__all__]
    with contextlib.suppress(ImportError):  # of libraries that are not there
        names += [f"lossext.sklearn.{name}" for name in lossext.sklearn.__all__]
        names += [f"lossext.boosting.{name}" for name in lossext.boosting.__all__]
    assert [name for name in names if not (SITE / "api" / "generated" / f"{name}.html").exists()] == []


@pytest.fixture(scope="module")
def browser():
    webdriver = pytest.importorskip("selenium.webdriver", reason="the browser test needs selenium: extra `browser`")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not program or not driver:
        pytest.skip("no Chromium with its driver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in ("--headless=new", "--no-sandbox", "--hide-scrollbars", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    window = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    window.set_page_load_timeout(60)
    yield window
    window.quit()


@pytest.fixture(scope="module")
def address():
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=SITE))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


def errors_of(browser):
    # the theme says so itself where a new visitor has not chosen between light and dark; browsers ask for an icon
    harmless = ("Got invalid theme mode", "favicon.ico")
    found = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    return [message for message in found if not any(part in message for part in harmless)]


MISSING_IMAGES = """
const done = arguments[0], images = [...document.images];
for (const image of images) image.loading = "eager";
Promise.allSettled(images.map(image => image.decode())).then(
    () => done(images.filter(image => image.naturalWidth === 0).map(image => image.src)));
"""


@built
@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
def test_pages_in_a_browser(browser, address, width):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 800},
    )
    for name in pages():
        if name in NOT_PAGES:
            continue
        browser.get(address + name)
        assert browser.execute_async_script(MISSING_IMAGES) == [], name
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width, name
        assert errors_of(browser) == [], name


@built
@pytest.mark.slow
@pytest.mark.parametrize("words", ANSWERS)
def test_search(browser, address, words):
    """Questions of issue trackers: one of the first pages found has the answer."""
    ui = pytest.importorskip("selenium.webdriver.support.ui")
    browser.get(f"{address}search.html?q={quote(words)}")
    ui.WebDriverWait(browser, 30).until(lambda window: window.execute_script(SEARCHED))
    found = browser.execute_script(FOUND)
    assert any(link.startswith(ANSWERS[words]) for link in found[:4]), found
