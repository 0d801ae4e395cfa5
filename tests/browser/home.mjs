// Steps about the home as a whole: its scenes and mode, who is there, what rules did, what insights find.
import { assert, until } from "./checks.mjs";
import { ANSWER_MS, go, look } from "./look.mjs";
import { settings } from "./settings.mjs";

const home = encodeURIComponent(settings.home);

/** A scene that switches a light and sets a mode is written, started and removed. `light` finds the light's switch on the overview. */
export async function scenes(checks, page, at, named, light) {
    const id = `walk-${at.width}`;
    const name = `Walk ${at.width}`;
    const scene = page.locator(`[data-scene="${id}"]`);
    const mode = page.getByTestId("mode");
    const editor = page.getByRole("region", { name: "Write a scene" });
    let wanted;
    await checks.check(named("a scene is written"), async () => {
        await go(page, at, `/homes/${home}`);
        const control = await light(page);
        const device = await control.evaluate((element) => element.closest("[data-device]").dataset.device);
        const metric = await control.getAttribute("data-metric");
        wanted = (await control.getByRole("switch").getAttribute("aria-checked")) !== "true";
        await go(page, at, `/homes/${home}/scenes`);
        await editor.getByLabel("Name", { exact: true }).fill(name);
        const [first, second] = [1, 2].map((n) => editor.getByTestId("action").nth(n - 1));
        await first.getByLabel("1 of 2").selectOption("set");
        await first.getByLabel("Device", { exact: true }).selectOption(device);
        await first.getByRole("button", { name: "Add a value" }).click();
        await first.getByLabel("What to set").selectOption(metric);
        await first.getByLabel("To what").selectOption(wanted ? "on" : "off");
        await second.getByLabel("To", { exact: true }).fill(id);
        await editor.getByRole("button", { name: "Set" }).click();
        await page.getByTestId("scene-said").getByText(`${name} is set`).waitFor();
        await scene.getByText("Not started yet").waitFor();
    });
    await checks.check(named("a wrong scene is refused in words"), async () => {
        const nothing = JSON.stringify({ name, then: [{ set: { device: "no/such", values: { on: true } } }] });
        await editor.getByRole("button", { name: "As JSON" }).click();
        await editor.getByLabel("The scene, as JSON").fill(nothing);
        await editor.getByRole("button", { name: "Set" }).click();
        const words = await page.locator("main [role=alert]").innerText();
        assert(/no\/such/.test(words), words);
    });
    await checks.check(named("a scene is started and the box says that it did it"), async () => {
        await scene.getByRole("button", { name: "Start" }).click();
        await until("the box's word", async () => (await scene.getAttribute("data-outcome")) === "done");
        assert(/Last started .* by /.test(await scene.innerText()), await scene.innerText());
        await until("the scene's mode", async () => (await mode.getAttribute("data-mode")) === id);
    });
    await look(checks, page, "scenes", at.width);
    await checks.check(named("the light is as the scene says, by the device's word"), async () => {
        await go(page, at, `/homes/${home}`);
        const knob = (await light(page)).getByRole("switch");
        await until("the light", async () => (await knob.getAttribute("aria-checked")) === String(wanted));
        assert((await page.getByTestId("strip").innerText()).includes(`Walk-${at.width}`), "no mode");
    });
    await checks.check(named("the mode is changed by a button"), async () => {
        await go(page, at, `/homes/${home}/scenes`);
        await mode.getByRole("button", { name: "Home" }).click();
        await until("the mode", async () => (await mode.getAttribute("data-mode")) === "home");
    });
    await checks.check(named("all lights go off by one button"), async () => {
        await page.getByRole("button", { name: "All lights off" }).click();
        await page
            .getByTestId("lights-said")
            .getByText(/\d+ lights? (was|were) told/)
            .waitFor();
    });
    await people(checks, page, at, named);
    await checks.check(named("a scene is removed"), async () => {
        await scene.getByRole("button", { name: "Remove" }).click();
        await scene.waitFor({ state: "detached" });
    });
}

async function people(checks, page, at, named) {
    const member = page.locator(`[data-member="guest-${at.width}"]`);
    await checks.check(named("somebody is added, comes home, and is removed"), async () => {
        const section = page.getByRole("region", { name: "Who is at home" });
        await section.getByText("Add or remove somebody").click();
        await section.getByLabel("Name").fill(`Guest ${at.width}`);
        await section.getByRole("button", { name: "Add" }).click();
        await member.getByText("nobody said where").waitFor();
        await member.getByRole("switch").click();
        await member.getByText("at home").waitFor();
        await until("their switch", async () => {
            return (await member.getByRole("switch").getAttribute("aria-checked")) === "true";
        });
        await section.getByRole("button", { name: `Remove Guest ${at.width}` }).click();
        await member.waitFor({ state: "detached" });
    });
}

/** What a rule and a scene did is told. The rule `walk-…` has fired, and the scene of the same name was started. */
export async function firings(checks, page, at, named) {
    const did = page.getByTestId("did-one");
    await checks.check(named("what rules and scenes did is listed"), async () => {
        await go(page, at, `/homes/${home}/rules`);
        await page.locator(`[data-testid="did-one"][data-rule="walk-${at.width}"]`).first().waitFor();
        const scene = page.locator(`[data-testid="did-one"][data-rule="scene/walk-${at.width}"]`).first();
        assert(/started by/.test(await scene.innerText()), await scene.innerText());
    });
    await checks.check(named("what one rule did is listed by itself, also after a reload"), async () => {
        await page.getByRole("button", { name: `What it did: Walk ${at.width}` }).click();
        const isAlone = () => did.evaluateAll((all) => new Set(all.map((one) => one.dataset.rule)).size === 1);
        await until("one rule alone", isAlone);
        await page.reload();
        await did.first().waitFor();
        assert(await isAlone(), "others are listed, too");
    });
    await look(checks, page, "rules-did", at.width);
}

/** The pack is run and set; one that the walk was told of finds something. */
export async function insights(checks, page, at, named) {
    const pack = page.locator(`[data-testid="pack"][data-pack="${settings.pack ?? "energy-standby"}"]`);
    await checks.check(named("insights open with their packs"), async () => {
        await go(page, at, `/homes/${home}/insights`);
        assert((await page.locator("main [role=alert]").count()) === 0, await page.locator("main").innerText());
        assert((await page.getByTestId("pack").count()) > 10, "packs are missing");
    });
    await checks.check(named("a pack is run and says what it finds"), async () => {
        await pack.getByRole("button", { name: "Run now" }).click();
        await pack.getByText(/^It finds/).waitFor({ timeout: ANSWER_MS });
        const found = Number(await pack.getAttribute("data-found"));
        assert((await pack.getByTestId("insight").count()) === found, `${found} are not all shown`);
        assert(!settings.pack || found > 0, "it finds nothing");
    });
    await checks.check(named("a pack is set, switched off and on, and stays so over a reload"), async () => {
        await pack.getByText("Settings").click();
        const field = pack.getByRole("spinbutton").first();
        const value = String(Number(await field.inputValue()) + 1);
        await field.fill(value);
        await pack.getByRole("button", { name: "Save" }).click();
        await pack.getByText("Saved").waitFor();
        const knob = pack.getByRole("switch").first();
        for (const isOn of ["false", "true"]) {
            await knob.click();
            await until(`a pack that is ${isOn}`, async () => (await knob.getAttribute("aria-checked")) === isOn);
        }
        await page.reload();
        await pack.getByText("Settings").click();
        assert((await field.inputValue()) === value, `it is ${await field.inputValue()}`);
    });
    await look(checks, page, "insights", at.width);
}
