// The steps of a walk. Each is a check with a name.
import { assert, until } from "./checks.mjs";
import { firings, insights, scenes } from "./home.mjs";
import { ANSWER_MS, go, look, settle } from "./look.mjs";
import { settings } from "./settings.mjs";

const home = encodeURIComponent(settings.home);

export async function setUp(checks, page, at) {
    await checks.check("the setup link makes the owner's login", async () => {
        await page.goto(`${at.url}/#/setup/${encodeURIComponent(settings.setupCode)}`);
        await settle(page);
    });
    await look(checks, page, "setup", at.width);
    await checks.check("two passwords that differ are told", async () => {
        await page.getByLabel("Name").fill(settings.name);
        await page.getByLabel(/^Password/).fill(settings.password);
        await page.getByLabel("The same again").fill("other");
        await page.getByText("The two are not the same.").waitFor();
    });
    await checks.check("the owner is in after setting up", async () => {
        await page.getByLabel("The same again").fill(settings.password);
        await page.getByRole("button", { name: "Set up" }).click();
        await page.getByRole("button", { name: "Log out", includeHidden: true }).waitFor({ state: "attached" });
    });
}

export async function walk(checks, page, at, line) {
    const named = (words) => `${words} at ${at.width} px`;
    await page.goto(at.url);
    await settle(page);
    await look(checks, page, "login", at.width);
    await checks.check(named("a wrong password is refused in words"), async () => {
        await fillLogin(page, "wrong");
        await page.getByRole("button", { name: "Log in" }).click();
        await page.getByRole("alert").waitFor();
    });
    await checks.check(named("log in"), async () => {
        await fillLogin(page, settings.password);
        await page.getByRole("button", { name: "Log in" }).click();
        await page.getByRole("button", { name: "Log out", includeHidden: true }).waitFor({ state: "attached" });
        await go(page, at, `/homes/${home}`);
    });
    await checks.check(named("live values move"), () => valuesMove(page));
    await checks.check(named("a light is switched and the device confirms"), async () => {
        const control = await findLight(page);
        await control.getByRole("switch").click();
        await confirmed(control);
    });
    await look(checks, page, "overview", at.width);
    await history(checks, page, at, named);
    await sql(checks, page, at, named);
    await tokens(checks, page, at, named);
    await alarms(checks, page, at, named);
    await scenes(checks, page, at, named, findLight);
    await firings(checks, page, at, named);
    await insights(checks, page, at, named);
    for (const [name, path] of await otherPages(page)) {
        await checks.check(named(`${name} opens`), async () => {
            await go(page, at, path);
            assert((await page.locator("main [role=alert]").count()) === 0, await page.locator("main").innerText());
        });
        await look(checks, page, name, at.width);
    }
    await outage(checks, page, at, line, named);
    await checks.check(named("log out"), async () => {
        await openMenu(page);
        await page.getByRole("button", { name: "Log out" }).click();
        await page.getByRole("heading", { name: "Log in" }).waitFor();
    });
}

export async function byKeyboard(checks, page, at) {
    await checks.check("log in by keyboard alone", async () => {
        await page.goto(at.url);
        await settle(page);
        await tabTo(page, (element) => element.id === "name");
        await page.keyboard.type(settings.name);
        await page.keyboard.press("Tab");
        await page.keyboard.type(settings.password);
        await page.keyboard.press("Enter");
        await page.getByRole("button", { name: "Log out" }).waitFor();
    });
    await checks.check("switch a light by keyboard alone", async () => {
        await go(page, at, `/homes/${home}`);
        const control = await findLight(page);
        await control.evaluate((element) => element.querySelector("[role=switch]").setAttribute("data-wanted", ""));
        await tabTo(page, (element) => element.hasAttribute("data-wanted"));
        await page.keyboard.press("Space");
        await confirmed(control);
    });
}

async function fillLogin(page, password) {
    await page.getByLabel("Name").fill(settings.name);
    await page.getByLabel("Password").fill(password);
}

async function openMenu(page) {
    const menu = page.getByRole("button", { name: "Menu" });
    if (await menu.isVisible()) await menu.click();
}

async function valuesMove(page) {
    const values = () => page.getByTestId("value").allInnerTexts();
    await page.getByTestId("value").first().waitFor();
    const before = (await values()).join("|");
    await until("a value that changes", async () => (await values()).join("|") !== before);
}

/** The switch of a light on the overview. What can be set is known once its card was in view. */
async function findLight(page) {
    const cards = page.getByTestId("device");
    await cards.first().waitFor();
    const light = settings.light
        ? page.locator(`[data-device="${settings.light}"]`)
        : cards.filter({ hasText: /light|lamp|bulb/i }).first();
    await light.scrollIntoViewIfNeeded();
    const control = light
        .getByTestId("control")
        .filter({ has: page.getByRole("switch") })
        .first();
    await control.waitFor();
    return control;
}

async function confirmed(control) {
    const outcome = () => control.getAttribute("data-outcome");
    await until("the device's word that it is so", async () => {
        const now = await outcome();
        assert(!["failed", "refused", "timed_out"].includes(now), `it came to ${now}: ${await control.innerText()}`);
        return now === "confirmed";
    });
}

async function history(checks, page, at, named) {
    // The id of a device may have slashes, too.
    const [, device, metric] = /^(.*)\/([^/]*)$/.exec(settings.history ?? "") ?? [];
    await checks.check(named("a device opens from the overview"), async () => {
        if (device) await go(page, at, `/homes/${home}/devices/${encodeURIComponent(device)}?metric=${metric}`);
        else await page.getByTestId("device").first().getByRole("link").first().click();
        await settle(page);
        await page.getByTestId("chart").waitFor({ timeout: ANSWER_MS });
    });
    const chart = page.getByTestId("chart");
    const span = async () =>
        Number(await chart.getAttribute("data-to")) - Number(await chart.getAttribute("data-from"));
    await checks.check(named("a year of history is shown"), async () => {
        await page.getByRole("button", { name: "Year" }).click();
        await until("a chart of a year", async () => (await span()) > 360 * 86_400_000, ANSWER_MS);
        const points = Number(await chart.getAttribute("data-points"));
        assert(points >= (device ? 300 : 1), `${points} points`);
    });
    await look(checks, page, "device-year", at.width);
    await checks.check(named("it zooms from a year to seconds, down to readings as they came"), async () => {
        for (let step = 0; step < 40 && (await span()) > 60_000; step += 1) {
            const before = await span();
            await page.getByRole("button", { name: "Zoom in" }).click();
            await until("a narrower chart", async () => (await span()) < before, ANSWER_MS);
        }
        assert(
            (await chart.getAttribute("data-every")) === "raw",
            `it shows ${await chart.getAttribute("data-every")}`,
        );
    });
    await checks.check(named("what is shown stays over a reload"), async () => {
        const before = await span();
        await page.reload();
        await settle(page);
        await until("the same span", async () => Math.abs((await span()) - before) < 2, ANSWER_MS);
    });
    await checks.check(named("the chart moves by keyboard"), async () => {
        const from = await chart.getAttribute("data-from");
        await chart.focus();
        await page.keyboard.press("ArrowLeft");
        await until("an earlier chart", async () => (await chart.getAttribute("data-from")) < from, ANSWER_MS);
    });
    await checks.check(named("the readings of the span are saved as CSV"), async () => {
        await page.getByRole("button", { name: "Hour" }).click();
        await until(
            "a chart of an hour",
            async () => (await span()) < 3_700_000 && (await span()) > 3_500_000,
            ANSWER_MS,
        );
        const saved = page.waitForEvent("download", { timeout: ANSWER_MS });
        await page.getByRole("button", { name: "CSV" }).click();
        assert(/\.csv$/.test((await saved).suggestedFilename()), "it is no CSV file");
    });
    await look(checks, page, "device", at.width);
}

async function sql(checks, page, at, named) {
    await go(page, at, "/sql");
    await look(checks, page, "sql-empty", at.width);
    await checks.check(named("SQL is answered with a table and a plot"), async () => {
        const query =
            "SELECT date_trunc('minute', ts) AS minute, count(*) AS readings FROM readings WHERE ts > now() - INTERVAL '1 hour' GROUP BY minute ORDER BY minute";
        await page.getByLabel("Query").fill(query);
        await page.keyboard.press("Control+Enter");
        await page.getByTestId("sql-took").waitFor();
        assert((await page.locator("tbody tr").count()) > 0, "there is no row");
    });
    await checks.check(named("the query is in the address"), async () => {
        await page.reload();
        await settle(page);
        await page.getByTestId("sql-took").waitFor();
        assert((await page.getByLabel("Query").inputValue()).includes("date_trunc"), "the query is gone");
    });
    await look(checks, page, "sql", at.width);
    await checks.check(named("a wrong query is told in the service's words"), async () => {
        await page.getByLabel("Query").fill("SELECT nothing FROM nowhere");
        await page.getByRole("button", { name: "Run" }).click();
        const words = await page.locator("main [role=alert]").innerText();
        assert(/nowhere/.test(words), words);
    });
}

async function tokens(checks, page, at, named) {
    const name = `walk ${at.width}`;
    await checks.check(named("a token is made, shown once, and revoked"), async () => {
        await go(page, at, "/tokens");
        await page.getByLabel("Name").fill(name);
        await page.getByRole("button", { name: "Make" }).click();
        const token = page.getByTestId("token");
        await token.waitFor();
        assert((await token.inputValue()).length > 20, "it is no token");
        await page
            .getByRole("button", { name: `Revoke ${name}` })
            .first()
            .click();
        await page.locator("tr", { hasText: name }).filter({ hasText: "revoked" }).first().waitFor();
    });
    await look(checks, page, "tokens", at.width);
}

async function alarms(checks, page, at, named) {
    const words = `Seen at ${at.width}`;
    await checks.check(named("a rule is written in a form, which says the same as JSON"), async () => {
        await go(page, at, `/homes/${home}/rules`);
        await page.getByLabel("Name", { exact: true }).fill(`Walk ${at.width}`);
        await page.getByLabel("When any of these happens, 1 of 1").selectOption("every");
        await page.getByLabel("Every", { exact: true }).fill("1s");
        await page.getByLabel("Then not again for").fill("1h");
        await page.getByLabel("Do this, in this order, 1 of 1").selectOption("raise");
        await page.getByLabel("Alarm", { exact: true }).fill(`walk-${at.width}`);
        await page.getByLabel("Message", { exact: true }).fill(words);
        await page.getByRole("button", { name: "As JSON" }).click();
        const text = await page.getByLabel("The rule, as JSON").inputValue();
        const rule = {
            name: `Walk ${at.width}`,
            when: [{ every: "1s" }],
            cooldown: "1h",
            then: [{ raise: { alarm: `walk-${at.width}`, severity: "warning", message: words } }],
        };
        assert(JSON.stringify(JSON.parse(text)) === JSON.stringify(rule), text);
        await page.getByRole("button", { name: "As JSON" }).click();
    });
    await look(checks, page, "rule-editor", at.width);
    await checks.check(named("a rule is tried on what was, and set"), async () => {
        assert((await page.getByLabel("Id", { exact: true }).inputValue()) === `walk-${at.width}`, "another id");
        await page.getByRole("button", { name: "Try" }).click();
        await page.getByTestId("firings").locator("li").first().waitFor({ timeout: ANSWER_MS });
        await page.getByRole("button", { name: "Set" }).click();
        await page.getByText(`Walk ${at.width} is set`).waitFor();
    });
    await look(checks, page, "rules", at.width);
    await checks.check(named("an alarm is raised and acknowledged"), async () => {
        await go(page, at, `/homes/${home}/alarms`);
        const alarm = page.locator(`[data-alarm="walk-${at.width}"]`);
        await alarm.getByRole("button", { name: "Acknowledge" }).click({ timeout: ANSWER_MS });
        await alarm.getByText("acknowledged").waitFor();
    });
    await look(checks, page, "alarms", at.width);
}

/** The pages that this service has, by its menu. */
async function otherPages(page) {
    const known = { Energy: "energy", Boxes: "boxes", Audit: "audit", Stores: "stores", "MQTT clients": "clients" };
    const links = await page
        .locator("nav a")
        .evaluateAll((all) => all.map((one) => [one.textContent.trim(), one.hash.slice(1)]));
    return links.filter(([words]) => words in known).map(([words, path]) => [known[words], path]);
}

async function outage(checks, page, at, line, named) {
    await go(page, at, `/homes/${home}`);
    await valuesMove(page);
    const said = page.getByTestId("away");
    await checks.check(named("a cut line is told, and what was there stays"), async () => {
        line.cut();
        await until("word of the cut", async () => /No answer since/.test(await said.innerText()), 30_000);
        assert((await page.getByTestId("value").count()) > 0, "the values are gone");
    });
    await look(checks, page, "away", at.width);
    await checks.check(named("it goes on by itself when the line is back"), async () => {
        line.mend();
        await until("no word of a cut", async () => (await said.innerText()) === "", 30_000);
        await valuesMove(page);
    });
}

async function tabTo(page, isIt) {
    const TABS_MAX = 400;
    for (let tab = 0; tab < TABS_MAX; tab += 1) {
        await page.keyboard.press("Tab");
        if (await page.evaluate(`(${isIt})(document.activeElement)`)) return;
    }
    throw new Error("not reached by Tab");
}
