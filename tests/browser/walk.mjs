// Walks through the dashboard of a running service as people do, at the width of a desk and of a telephone.
import { mkdirSync } from "node:fs";
import { chromium } from "playwright-core";
import { Checks } from "./checks.mjs";
import { openLine } from "./line.mjs";
import { settings } from "./settings.mjs";
import * as steps from "./steps.mjs";
import { Traffic } from "./traffic.mjs";

const WIDTHS = [
    { width: 1280, height: 800 },
    { width: 375, height: 812, hasTouch: true, isMobile: true },
];

if (settings.screenshots) mkdirSync(settings.screenshots, { recursive: true });
const checks = new Checks();
const browser = await chromium.launch({
    executablePath: settings.chromium,
    args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
});

try {
    if (settings.setupCode) await onePage(WIDTHS[0], (page, at) => steps.setUp(checks, page, at));
    for (const size of WIDTHS) await onePage(size, (page, at, line) => steps.walk(checks, page, at, line));
    await onePage(WIDTHS[0], (page, at) => steps.byKeyboard(checks, page, at));
} finally {
    await browser.close();
}
process.exit(checks.end());

/** A browser of its own for each walk, behind a line that can be cut. */
async function onePage({ width, height, ...device }, walk) {
    const line = await openLine(settings.url);
    const context = await browser.newContext({ viewport: { width, height }, locale: "en-GB", ...device });
    const page = await context.newPage();
    const traffic = new Traffic(page);
    try {
        await walk(page, { url: line.url, width }, line);
        await traffic.check(checks, width);
    } finally {
        await context.close();
        line.close();
    }
}
