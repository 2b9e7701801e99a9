"""A reviewer at the keyboard: what the tests do in the App, in their words."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from app.scenes import BLOCK, HEIGHT, IMAGES, SCREENSHOTS, WIDTH

SLOW = 60_000.0  # milliseconds


@dataclass
class Reviewer:
    """Someone with the App's page open."""

    page: Any
    url: str
    left_for: list[str] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)

    def open_grid(self) -> None:
        self.page.set_default_timeout(SLOW)
        self.page.on("requestfinished", self._note_request)
        self.page.on("requestfailed", self._note_failure)
        self.page.goto(self.url, wait_until="domcontentloaded", timeout=3 * SLOW)
        self.page.locator("[data-cy=looker]").first.wait_for(timeout=3 * SLOW)
        self.page.wait_for_timeout(3000)
        if self.page.get_by_text("Dismiss").count():  # an advertisement of the App's makers
            self.page.get_by_text("Dismiss").first.dispatch_event("click")

    def shoot(self, name: str) -> Path:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / f"{name}.png"
        self.page.screenshot(path=path)
        return path

    def open_image(self, name: str) -> None:
        """Open an image, at its place in the grid: the order in which the folder lists it."""
        self.close_image()
        self.page.locator("[data-cy=looker]").nth(sorted(IMAGES).index(name)).click()
        self.page.locator("#modal.modalon").wait_for()
        self.page.locator("[data-cy=modal-looker-container]").wait_for()
        self.page.get_by_text(name, exact=True).last.wait_for()
        self.page.wait_for_timeout(2000)

    def close_image(self) -> None:
        if self.page.locator("#modal.modalon").count():
            self.page.mouse.click(15, 600)
            self.page.locator("#modal.modalon").wait_for(state="detached")

    def select_object(self) -> None:
        """Click into the block of colour until the App says that a label is selected."""
        frame = self.page.locator("[data-cy=modal-looker-container]").bounding_box()
        scale = min(frame["width"] / WIDTH, frame["height"] / HEIGHT)
        left = frame["x"] + (frame["width"] - scale * WIDTH) / 2
        top = frame["y"] + (frame["height"] - scale * HEIGHT) / 2
        x, y = left + scale * (BLOCK[0] + BLOCK[2]) / 2, top + scale * (BLOCK[1] + BLOCK[3]) / 2
        counter = self.page.locator("[data-cy=modal] ~ * [data-cy=action-manage-selected]").or_(
            self.page.locator("#modal [data-cy=action-manage-selected]")
        )
        for attempt in range(5):
            self.page.mouse.move(x - 3 - attempt, y)
            self.page.wait_for_timeout(500)
            self.page.mouse.click(x, y)
            self.page.wait_for_timeout(1500)
            if counter.last.inner_text().strip() == "1":
                return
        self.shoot("failed-select")
        pytest.fail("the object could not be selected")

    def press_button(self, icon: str) -> None:
        """Press one of the plugin's buttons over the open image, by its icon's name."""
        self.page.get_by_text(icon, exact=True).last.click()

    def told(self, message: str) -> None:
        """Wait for the App to say so."""
        self.page.get_by_text(message, exact=True).last.wait_for()

    def form(self) -> Any:
        dialog = self.page.locator(".MuiDialog-container").last
        dialog.wait_for()
        return dialog

    def submit(self) -> None:
        self.page.wait_for_timeout(1500)  # the form asks the server whether it is valid
        self.page.keyboard.press("Control+Enter")

    def _note_request(self, request: Any) -> None:
        if not request.url.startswith(("http://127.0.0.1:", "data:", "blob:")):
            self.left_for.append(request.url)

    def _note_failure(self, request: Any) -> None:
        if not request.url.startswith(("http://127.0.0.1:", "data:", "blob:")):
            self.blocked.append(f"{request.failure} {request.url}")
