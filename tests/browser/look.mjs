// Every page in light and dark: accessible by axe, no wider than the window, and on a screenshot.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { assert } from "./checks.mjs";
import { settings } from "./settings.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const GRAVE = new Set(["serious", "critical"]);

/** A service in the development profile on a busy machine takes its time over a year of chunks that it has never read. */
export const ANSWER_MS = 60_000;

export async function settle(page) {
    await page.waitForLoadState("load");
    await page.locator("h1").first().waitFor();
    // What is still loading says so.
    await page.waitForFunction(() => !/^(Loading…|Opening…)$/m.test(document.body.innerText), undefined, {
        timeout: ANSWER_MS,
    });
    await page.waitForTimeout(400);
}

export async function go(page, at, path) {
    await page.goto(`${at.url}/#${path}`);
    await settle(page);
}

/** Look at the page as it is. */
export async function look(checks, page, name, width) {
    for (const theme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme: theme, reducedMotion: "reduce" });
        await page.waitForTimeout(150);
        if (settings.screenshots) {
            await page.screenshot({
                path: join(settings.screenshots, `${name}-${width}-${theme}.png`),
                fullPage: true,
            });
        }
        await checks.check(`${name} at ${width} px is accessible in ${theme}`, async () => {
            // A content security policy keeps scripts out of the page, but not those of the debugger.
            await page.evaluate(axe);
            const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
            const grave = found.violations.filter((one) => GRAVE.has(one.impact));
            assert(grave.length === 0, grave.map(told).join("\n"));
        });
    }
    await page.emulateMedia({ colorScheme: "light" });
    await checks.check(`${name} at ${width} px is no wider than the window`, async () => {
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert(wide <= 0, `it is ${wide} px wider`);
    });
}

function told(violation) {
    const nodes = violation.nodes
        .slice(0, 4)
        .map((node) => `  ${node.target.join(" ")}: ${node.failureSummary?.replaceAll("\n", " ")}`);
    return [`${violation.impact} ${violation.id}: ${violation.help}`, ...nodes].join("\n");
}
