"""The report as a reader sees it: in Chromium, on a desk and a phone, with hostile words in it."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from review.made_runs import RUN_FILE, Shown, draw, write_run

from pipeline.app import SILENT
from pipeline.evaluate import evaluate
from pipeline.labels.runs import FinishedRun
from pipeline.reasons import Reason
from pipeline.records import JsonObject, Quarantined
from pipeline.report import write_report
from pipeline.runfile import RunFile, load_run_file

RUN = "window.__executed=1"
PAYLOADS = (
    f"<script>{RUN}</script>",
    f"</title></style></script><script>{RUN}</script>",
    f'<img src=x onerror="{RUN}">',
    f"<svg/onload={RUN}>",
    f'"><body onload="{RUN}">',
    f"' autofocus onfocus='{RUN}' x='",
    f'<iframe srcdoc="<script>parent.{RUN}</script>"></iframe>',
    f'<a href="javascript:{RUN}">x</a>',
    f"<details open ontoggle={RUN}>",
    f'<meta http-equiv="refresh" content="0;url=javascript:{RUN}">',
    "<link rel=stylesheet href=http://127.0.0.1:9/x.css>",
    "<style>*{background:url(http://127.0.0.1:9/x.png)}</style>",
    f"{{{{ self.__init__ }}}}${{{RUN}}}",
    f"<math><mtext></mtext><mglyph><style><img src=x onerror={RUN}>",
    f"--><script>{RUN}</script><!--",
)
INJECTED = (
    f"<script>{RUN}</script>",
    f'<script src="data:text/javascript,{RUN}"></script>',
    f"<img src=x onerror='{RUN}'>",
    f"<body onload='{RUN}'>",
    "<img src='OUTSIDE/pixel.png'>",
    "<link rel=stylesheet href='OUTSIDE/x.css'>",
    f"<iframe srcdoc='<script>parent.{RUN}</script>'></iframe>",
    f"<object data='data:text/html,<script>parent.{RUN}</script>'></object>",
)
SIZES = {"desk": (1280, 900), "phone": (390, 844)}
SECTIONS = {
    "examples": "Examples",
    "classes": "Labels per class",
    "scores": "Scores and thresholds",
    "review": "Why labels wait for a person",
    "quarantine": "Quarantine",
    "errors": "Errors against the truth",
    "relevance": "What the model looked at",
    "changes": "Since the run before",
    "time": "Where the time went",
    "made-by": "Made by",
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    found = os.environ.get("AUTOLABEL_CHROMIUM") or next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if not found:
        pytest.skip("no chromium: apt-get install chromium, or name one in AUTOLABEL_CHROMIUM")
    sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install it")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found,
            args=["--no-sandbox", "--disable-gpu", "--disable-quic",
                  "--disable-background-networking"],
        )  # fmt: skip
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run in which every word is hostile; each section has something to say."""
    run = hostile_project(tmp_path_factory.mktemp("report"))
    shown = [
        Shown(name, ((PAYLOADS[n], (4, 4, 20, 20)), ("cat", (34, 34, 20, 20))),
              (PAYLOADS[n],), (PAYLOADS[n],))
        for n, name in enumerate(names())
    ]  # fmt: skip
    bad = Quarantined(0, PAYLOADS[0].replace("/", "|"), Reason.TRUNCATED, PAYLOADS[1], None, None)
    write_run(run, [*shown[1:], Shown(names()[0])])
    folder = write_run(run, shown, [bad])
    (folder / "summary.json").write_text(json.dumps(summary(len(shown))))
    evaluate(run, str(write_truth(run, folder)))
    return write_report(run.config.workspace, SILENT)


def names() -> list[str]:
    return [f"{n} {payload.replace('/', '|')}.png" for n, payload in enumerate(PAYLOADS)]


def hostile_project(folder: Path) -> RunFile:
    (folder / "images").mkdir()
    for seed, name in enumerate(names()):
        draw(folder / "images" / name, seed)
    classes = "".join(f"    - {{name: {json.dumps(payload)}}}\n" for payload in PAYLOADS)
    head = RUN_FILE[: RUN_FILE.index("    - {name: cat}")]
    (folder / "run.yaml").write_text(f"{head}    - {{name: cat}}\n    - {{name: dog}}\n{classes}")
    return load_run_file(folder / "run.yaml")


def summary(n: int) -> JsonObject:
    engine = {"name": "fake", "model": PAYLOADS[2]}
    stage = {"ran": n, "cached": 0, "failed": 0, "seconds": 1.5, "why": PAYLOADS[3]}
    return {
        "found": n + 1, "labelled": n, "quarantined": 1, "duplicates": 0,
        "quarantined_by_reason": {"truncated": 1}, "wall_seconds": 3.0, "load_seconds": 1.0,
        "stages": {"segment": {**stage, "engine": engine}}, "versions": {PAYLOADS[4]: PAYLOADS[5]},
    }  # fmt: skip


def write_truth(run: RunFile, folder: Path) -> Path:
    """Truth with another class for half of what was found, so that there are errors."""
    document: JsonObject = {"images": [], "annotations": []}
    classes = [*PAYLOADS, "cat", "text"]
    document["categories"] = [{"id": n, "name": name} for n, name in enumerate(classes, 1)]
    for image in FinishedRun(folder).images():
        size = {"width": image.width, "height": image.height}
        document["images"].append({"id": image.id, "file_name": image.file_name, **size})
        for box, name in (([4, 4, 20, 20], "cat"), ([34, 34, 20, 20], "cat")):
            entry = {"id": 1 + len(document["annotations"]), "image_id": image.id, "bbox": box}
            document["annotations"].append({**entry, "category_id": 1 + classes.index(name)})
    path = run.path.parent / "truth.json"
    path.write_text(json.dumps(document))
    return path


class Visit:
    """A page that was opened, and what it tried."""

    def __init__(self, browser: Any, size: tuple[int, int], path: Path) -> None:
        self.page = browser.new_page(viewport={"width": size[0], "height": size[1]})
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_load_state("networkidle")

    @property
    def left(self) -> list[str]:
        """Requests for anything but the page and what is in it."""
        return [url for url in self.asked[1:] if not url.startswith("data:")]

    def executed(self) -> bool:
        return bool(self.page.evaluate("Boolean(window.__executed)"))


@pytest.fixture(params=sorted(SIZES))
def visit(request: pytest.FixtureRequest, browser: Any, report: Path) -> Iterator[Visit]:
    opened = Visit(browser, SIZES[request.param], report)
    yield opened
    opened.page.close()


def test_a_stranger_sees_what_happened(visit: Visit) -> None:
    page = visit.page
    assert visit.said == []
    assert visit.left == []
    assert not visit.executed()
    wide, fits = page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert wide <= fits, "no sideways scrolling"
    tiles = page.locator("header .tile").all_inner_texts()
    n = len(PAYLOADS)
    assert [tile.split("\n")[0] for tile in tiles[:3]] == [f"{n + 1}", f"= {n}", "+ 1"]
    first = page.locator("header .tile").first.bounding_box()
    assert first["y"] < page.viewport_size["height"] / 2, "at the top"
    note = page.get_by_text(f"1 of {n + 1} files have no labels: truncated 1.")
    assert note.bounding_box()["y"] < page.viewport_size["height"], "why, without scrolling"
    for ident, title in SECTIONS.items():
        section = page.locator(f"#{ident}")
        assert section.locator("h2").inner_text() == title
        assert section.is_visible()
        assert page.locator(f'nav a[href="#{ident}"]').count() == 1
    assert page.locator("#scores line.limit").count() >= 3, "thresholds are drawn"
    assert page.locator("#examples figure svg image").count() >= 6
    assert page.locator("#errors figure svg image").count() >= 6
    assert page.locator("#time tr").count() == 3
    assert page.locator("#changes tr").count() > 1


def test_hostile_words_are_words(visit: Visit) -> None:
    said = visit.page.locator("body").inner_text()
    for payload in PAYLOADS:
        assert " ".join(payload.split()) in " ".join(said.split())
    for tag in ("script", "iframe", "link", "math", "body body", "img[onerror]", "[onfocus]"):
        assert visit.page.locator(tag).count() == 0


@pytest.fixture
def outside() -> Iterator[tuple[str, list[str]]]:
    """A server that nothing should ever ask.

    Yields:
        Its address, and what it was asked.
    """
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def test_the_policy_stops_what_escaping_might_miss(
    browser: Any, report: Path, outside: tuple[str, list[str]]
) -> None:
    address, asked = outside
    html = report.read_text(encoding="utf-8")
    injected = "<main>" + "".join(INJECTED).replace("OUTSIDE", address)
    spoilt = report.with_name("spoilt.html")
    spoilt.write_text(html.replace("<main>", injected), encoding="utf-8")
    visit = Visit(browser, SIZES["desk"], spoilt)
    assert not visit.executed()
    assert asked == []
    blocked = [words for words in visit.said if "Content Security Policy" in words]
    assert len(blocked) >= len(INJECTED)
    # The same without the policy: the test would notice.
    start, end = html.index('<meta http-equiv="Content'), html.index('<meta name="viewport"')
    spoilt.write_text(html[:start] + html[end:].replace("<main>", injected), encoding="utf-8")
    assert Visit(browser, SIZES["desk"], spoilt).executed()
    assert sorted(set(asked)) == ["/pixel.png", "/x.css"]
