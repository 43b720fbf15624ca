#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""report.html in a real browser, on a desk and on a phone, and what it is made of: the time of each
rank under every strategy, and a bounded number of pictures.

Screenshots go to the folder that GANTRY_SCREENSHOTS names.
"""
import os
import unittest
from pathlib import Path

from browser import Browser, find_browser
from gantry_train_support import ProgramTest, lines

BROWSER = find_browser()
COMPUTE = {"generate", "data", "discriminator", "feedback", "generator"}
EXCHANGE = {"exchange", "swap"}


class TimeOfEachRank(ProgramTest):
    def test_every_strategy(self):
        for strategy in ("standalone", "md_gan", "federated_average", "averaged_discriminator",
                         "layerwise_overlap", "label_parallel", "output_aggregation"):
            with self.subTest(strategy):
                outdir = self.folder / strategy
                self.train(strategy=strategy, outdir=outdir, workers=2, iterations=3)
                for rank in range(1 if strategy == "standalone" else 3):
                    log = lines(outdir / f"phases-{rank}.jsonl")
                    self.assertEqual([line["iteration"] for line in log], [1, 2, 3])
                    used = {phase for line in log for phase in line["seconds"]}
                    if rank > 0 or strategy != "label_parallel":  # whose server only waits
                        self.assertTrue(used & COMPUTE, (rank, used))
                    if strategy != "standalone":
                        self.assertIn("wait", used, rank)
                        self.assertTrue(used & EXCHANGE, (rank, used))
                page = (outdir / "report.html").read_text()
                self.assertEqual(page.count('class="timeline"'), 2)
                self.assertNotIn("nothing was measured", page)


class LongRun(ProgramTest):
    def test_page_stays_small(self):
        outdir = self.folder / "long"
        self.train(outdir=outdir, iterations=90, grid_every=1, batch=2)
        grids = sorted(outdir.glob("fakes0*.png"))
        self.assertEqual(len(grids), 90)
        self.assertGreater(sum(path.stat().st_size for path in grids), 3_000_000)
        page = (outdir / "report.html").read_text()
        self.assertLess(len(page), 5_000_000)
        shown = page.count("<img ") - 1  # beside the real images
        self.assertTrue(10 < shown < 90, shown)
        for iteration in (0, 90):
            self.assertIn(f'data-when="iteration {iteration}"', page)


@unittest.skipUnless(BROWSER, "expected Chromium, found none; apt-get install chromium")
class ReportInABrowser(ProgramTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.outdir = cls.folder / "run"
        result = cls.run_program(workers=3, iterations=60, log_every=1, grid_every=20,
                                 metrics="fid", metric_samples=50, swap_every="10it",
                                 partition="dirichlet:0.5", outdir=cls.outdir)
        assert result.returncode == 0, result.stderr
        cls.page = cls.outdir / "report.html"
        cls.browser = Browser(BROWSER)
        cls.addClassCleanup(cls.browser.__exit__)

    def open(self, width: int, phone: bool = False, dark: bool = False) -> Browser:
        self.browser.open(self.page, width, 844 if phone else 800, phone, dark)
        return self.browser

    def assert_quiet(self) -> None:
        """No complaint, and nothing was asked for but the page."""
        self.assertEqual(self.browser.complaints(), [])
        self.assertEqual(self.browser.requests(), [self.page.resolve().as_uri()])

    def assert_fits(self, width: int) -> None:
        self.assertEqual(self.browser.evaluate("document.documentElement.scrollWidth"), width)
        wide = self.browser.evaluate(
            "[...document.querySelectorAll('main *:not(td):not(th):not(tr):not(tbody)')]"
            ".filter(e => !e.closest('svg') && !e.closest('.card') && e.getClientRects().length)"
            f".filter(e => e.getBoundingClientRect().right > {width + 0.5}"
            " || e.getBoundingClientRect().left < -0.5).map(e => e.outerHTML.slice(0, 80))")
        self.assertEqual(wide, [])

    def keep_screenshot(self, name: str) -> None:
        folder = os.environ.get("GANTRY_SCREENSHOTS")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.browser.screenshot(Path(folder) / f"{name}.png")

    def test_every_size_and_colour(self):
        for name, width, phone in (("desktop", 1280, False), ("tablet", 768, True),
                                   ("phone", 390, True), ("small-phone", 320, True)):
            for dark in (False, True):
                with self.subTest(name, dark=dark):
                    self.open(width, phone, dark)
                    self.assert_fits(width)
                    self.assert_quiet()
                    back = self.browser.evaluate("getComputedStyle(document.body).backgroundColor")
                    self.assertEqual(sum(map(int, back[4:-1].split(","))) < 200, dark, back)
                    if dark == (name == "tablet"):
                        self.keep_screenshot(f"report-{name}{'-dark' if dark else ''}")

    def test_slider_moves_the_picture(self):
        browser = self.open(390, phone=True)
        frames = "[...document.querySelectorAll('.film')].find(f => f.querySelector('input'))"
        shown = f"({frames}).querySelector('.frames > :not([hidden])').dataset.when"
        self.assertEqual(browser.evaluate(shown), "iteration 60")
        at = browser.evaluate(f"({frames}).querySelectorAll('.frames img').length")
        self.assertEqual(at, 4)  # 0, 20, 40, 60
        slider = f"({frames}).querySelector('input')"
        browser.evaluate(f"{slider}.scrollIntoView({{block: 'center'}}); {slider}.focus()")
        for key, wanted in (("Home", "iteration 0"), ("ArrowRight", "iteration 20"),
                            ("End", "iteration 60")):
            for what in ("rawKeyDown", "keyUp"):
                browser.call("Input.dispatchKeyEvent", type=what, key=key, code=key,
                             windowsVirtualKeyCode={"Home": 36, "ArrowRight": 39, "End": 35}[key])
            self.assertEqual(browser.evaluate(shown), wanted)
            self.assertEqual(browser.evaluate(f"({frames}).querySelector('output').textContent"),
                             wanted)
        self.assertEqual(browser.evaluate(
            f"[...({frames}).querySelectorAll('img')].every(i => i.naturalWidth === 242)"), True)
        self.assert_quiet()

    def test_curves_answer(self):
        browser = self.open(1280)
        losses = browser.evaluate("[...document.querySelectorAll('.chart')]"
                                  ".findIndex(f => f.textContent.includes('Losses'))")
        chart = f"document.querySelectorAll('.chart')[{losses}]"
        browser.move(*browser.centre(".chart .area", losses))
        tip = browser.evaluate(f"{chart}.querySelector('.tip').innerText")
        self.assertRegex(tip, r"^iteration \d+\ndiscriminator [\d.]+\ngenerator [\d.]+$")
        lines = f"[...{chart}.querySelectorAll('path[data-line=\"0\"]')]"
        hidden = f"{lines}.every(p => getComputedStyle(p).display === 'none')"
        item = browser.evaluate("[...document.querySelectorAll('.legend li')]"
                                f".indexOf({chart}.querySelector('.legend li'))")
        self.assertFalse(browser.evaluate(hidden))
        browser.click(*browser.centre(".legend li", item))
        self.assertTrue(browser.evaluate(hidden))
        browser.move(*browser.centre(".chart .area", losses))
        tip = browser.evaluate(f"{chart}.querySelector('.tip').innerText")
        self.assertNotIn("discriminator", tip)
        browser.click(*browser.centre(".legend li", item))
        self.assertFalse(browser.evaluate(hidden))
        visible = f"getComputedStyle({chart}.querySelector('g.log')).display !== 'none'"
        self.assertFalse(browser.evaluate(visible))
        button = browser.evaluate("[...document.querySelectorAll('.scale')]"
                                  f".indexOf({chart}.querySelector('.scale'))")
        browser.click(*browser.centre(".scale", button))
        self.assertTrue(browser.evaluate(visible))
        self.assert_quiet()

    def test_time_line(self):
        browser = self.open(1280)
        names = browser.evaluate("[...document.querySelector('.timeline').querySelectorAll("
                                 "'span.y')].map(e => e.textContent)")
        self.assertEqual(names, ["server", "worker 1", "worker 2", "worker 3"])
        figure = "document.querySelectorAll('.timeline')[1]"
        self.assertEqual(browser.evaluate(f"[...{figure}.querySelectorAll('li')]"
                                          ".map(e => e.textContent)"),
                         ["compute", "wait", "exchange"])
        x, y = browser.centre(".timeline .area", 1)
        height = browser.evaluate(f"{figure}.querySelector('.area').clientHeight")
        browser.move(x, y + height / 8)  # the middle of the third of four lanes
        self.assertRegex(browser.evaluate(f"{figure}.querySelector('.tip').innerText"),
                         r"^worker 2, \d+ – \d+\ncompute [\d.]+ %")
        self.assert_quiet()


if __name__ == "__main__":
    unittest.main()
