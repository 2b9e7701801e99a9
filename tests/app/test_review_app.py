"""A day of review, in a real browser, on real images of fake engines."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit

import pytest
from app.reviewer import Reviewer
from app.scenes import EVIL_CLASS, EVIL_TEXT, IMAGES, PATIENCE, Session
from pymongo import MongoClient

from pipeline.app import label
from pipeline.labels.log import ReviewLog
from pipeline.labels.values import Status
from pipeline.review.database import open_database
from pipeline.review.projection import dataset_name
from pipeline.runfile import load_run_file

pytestmark = [
    pytest.mark.mongo,
    pytest.mark.slow,
    pytest.mark.timeout(4 * PATIENCE),
    # Of the browser's driver, which leaves its pipes to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PANEL = "Review progress"


def ask(session: Session, path: str, **headers: str) -> tuple[int, bytes, str]:
    """Status, body and content security policy of an answer."""
    place = urlsplit(session.url)
    request = urllib.request.Request(f"http://{place.netloc}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            policy = answer.headers["content-security-policy"] or ""
            return answer.status, answer.read(), policy
    except HTTPError as error:
        with error:
            return error.code, error.read(), ""


def test_server_shows_images_of_the_run_and_nothing_else(session: Session, run_file: Path) -> None:
    image = (run_file.parent / "images" / "accept.png").resolve()
    status, body, policy = ask(session, f"/media?filepath={quote(str(image))}")
    assert (status, body) == (200, image.read_bytes())
    assert "default-src 'self'" in policy
    for other in ("/etc/passwd", str(run_file), f"{image.parent}/../run.yaml"):
        assert ask(session, f"/media?filepath={quote(other)}")[0] == 404
    assert ask(session, f"/media?filepath={quote(str(image))}&filepath=/etc/passwd")[0] == 404


def test_server_refuses_other_names_and_other_sites(session: Session) -> None:
    assert ask(session, "/fiftyone")[0] == 200
    assert ask(session, "/fiftyone", Host="attacker.example")[0] == 403
    assert ask(session, "/fiftyone", Origin="http://attacker.example")[0] == 403


def test_grid_shows_labels_words_and_what_is_wrong(reviewer: Reviewer) -> None:
    page = reviewer.page
    assert page.locator("[data-cy=looker]").count() == len(IMAGES) + 1
    for shown in ("CAFE", "HOTEL", "pending", "quarantined", "truncated"):
        page.get_by_text(shown, exact=True).first.wait_for()
    page.wait_for_timeout(3000)
    reviewer.shoot("grid")


def test_names_and_texts_are_shown_never_run(reviewer: Reviewer) -> None:
    reviewer.open_image("evil.png")
    reviewer.shoot("evil")
    reviewer.page.keyboard.press("t")
    form = reviewer.form()
    form.locator("input").first.wait_for()
    assert form.locator("input").first.input_value() == EVIL_TEXT
    reviewer.page.keyboard.press("Escape")
    reviewer.close_image()
    assert reviewer.page.get_by_text(EVIL_TEXT, exact=True).count()
    assert reviewer.page.evaluate("window.__executed === undefined")
    assert reviewer.page.locator("img[src=x]").count() == 0


def test_nothing_leaves_the_machine(reviewer: Reviewer) -> None:
    assert reviewer.left_for == []
    assert all("csp" in failure for failure in reviewer.blocked), reviewer.blocked


@pytest.fixture(scope="module")
def decided(reviewer: Reviewer, session: Session) -> str:
    """Decisions by button and key, one on a whole image; then Ctrl-C. Gives what was printed."""
    page = reviewer.page
    page.locator("[data-cy=new-panel-btn]").first.dispatch_event("click")
    page.get_by_text(PANEL, exact=True).last.dispatch_event("click")
    page.get_by_text("0 of 15 labels decided (0%)").first.wait_for()
    reviewer.open_image("accept.png")
    reviewer.shoot("image")
    reviewer.select_object()
    reviewer.press_button("check")
    reviewer.told("1 accepted")
    page.get_by_text("1 of 15 labels decided (7%)").first.wait_for(state="attached")

    reviewer.open_image("relabel.png")
    reviewer.select_object()
    page.keyboard.press("l")
    reviewer.form().locator("input").first.click()
    page.get_by_role("option", name="cyan").click()
    reviewer.submit()
    reviewer.told("1 changed to cyan")
    page.wait_for_timeout(2000)
    reviewer.shoot("relabelled")

    reviewer.open_image("text.png")
    page.keyboard.press("t")
    reviewer.form().locator("input").first.fill("STOP")
    reviewer.submit()
    reviewer.told("1 corrected")

    reviewer.open_image("reject.png")
    reviewer.select_object()
    page.keyboard.press("x")
    reviewer.told("1 rejected")
    page.keyboard.press("d")
    reviewer.form().get_by_text("2 labels of this image are still pending.").wait_for()
    reviewer.submit()
    reviewer.told("1 image done")
    reviewer.close_image()

    page.get_by_text("6 of 15 labels decided (40%)").first.wait_for()
    reviewer.shoot("panel")
    page.get_by_role("button", name="quarantined").last.click()
    page.get_by_text("1 sample", exact=True).wait_for()
    page.get_by_text("truncated", exact=True).first.wait_for()
    reviewer.shoot("queue")

    return session.leave()


def samples(run_file: Path) -> dict[str, dict[str, Any]]:
    """The dataset's images as the database has them, by file name."""
    run = load_run_file(run_file)
    with open_database(run.config.workspace) as handle, MongoClient[Any](handle.uri) as client:
        database = client["fiftyone"]
        dataset = database["datasets"].find_one({"name": dataset_name(run)})
        assert dataset is not None
        found = database[dataset["sample_collection_name"]].find()
        return {sample["file_name"]: sample for sample in found}


def test_decisions_survive_a_run_with_other_thresholds(
    decided: str, session: Session, run_file: Path
) -> None:
    assert session.process.returncode == 0, decided
    assert "3 accepted, 1 image done, 1 rejected, 1 relabelled, 1 text corrected" in decided
    before = samples(run_file)
    assert before["relabel.png"]["objects"]["detections"][0]["label"] == "cyan"

    run_file.write_text(run_file.read_text().replace("threshold: 0.4", "threshold: 0.3"))
    label(load_run_file(run_file))
    again = [sys.executable, "-m", "pipeline.cli", "publish", str(run_file), "--json"]
    answer = subprocess.run(again, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert json.loads(answer.stdout)["decided"] == 6

    found = samples(run_file)
    accepted = found["accept.png"]["objects"]["detections"][0]
    relabelled = found["relabel.png"]["objects"]["detections"][0]
    corrected = found["text.png"]["texts"]["polylines"][0]
    rejected = found["reject.png"]["objects"]["detections"][0]
    assert (accepted["label"], accepted["review"]) == ("red", "accepted")
    assert (relabelled["label"], relabelled["review"]) == ("cyan", "edited")
    assert (corrected["text"], corrected["review"]) == ("STOP", "edited")
    assert (rejected["label"], rejected["review"]) == ("green", "rejected")
    for touched in (accepted, relabelled, corrected, rejected):
        assert touched["reviewed_by"] == "Ada"
        assert touched["reviewed_at"] is not None
    assert [name for name, x in found.items() if x["status"] == "done"] == ["reject.png"]
    assert found["evil.png"]["objects"]["detections"][0]["label"] == EVIL_CLASS

    log = ReviewLog(run_file.parent / "ws")
    states = {
        name: sorted(x.status for x in log[sample["sha256"]].labels.values())
        for name, sample in found.items()
    }
    assert states["accept.png"] == [Status.ACCEPTED]
    assert states["relabel.png"] == [Status.EDITED]
    assert states["text.png"] == [Status.EDITED]
    assert states["reject.png"] == [Status.ACCEPTED, Status.ACCEPTED, Status.REJECTED]
