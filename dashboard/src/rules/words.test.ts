import { expect, test } from "vitest";
import { actionWords, modesOf } from "./words";

const NAMES = new Map([["5daaa3205600f22b", "Valve"]]);

test.each([
    [{ set: { device: "5daaa3205600f22b", values: { valve: "close" } } }, "Valve: valve close"],
    [{ set: { device: "den/lamp", values: { on: false, dim: 10 } } }, "den/lamp: off, dim 10"],
    [{ call: { device: "den/lock", values: { lock: true } } }, "den/lock, now or not at all: lock on"],
    [{ group: { component: "media_player", values: { on: false } } }, "every media player: off"],
    [{ group: { component: "light", room: "den", values: { percent: 20 } } }, "every light in den: 20\u00a0%"],
    [{ scene: { scene: "film" } }, "start the scene film"],
    [{ mode: { mode: "night" } }, "mode night"],
    [{ raise: { alarm: "leak", severity: "critical" as const, message: "Water" } }, "raise the alarm leak: Water"],
    [{ clear: { alarm: "leak" } }, "clear the alarm leak"],
    [{ notify: { title: "Open a window" } }, "tell people: Open a window"],
    [{ publish: { topic: "a/b", payload: "x" } }, "publish to a/b"],
])("%j is %s", (action, words) => expect(actionWords(action, NAMES)).toBe(words));

test("modes are found among actions", () => {
    expect(modesOf([{ mode: { mode: "night" } }, { scene: { scene: "film" } }])).toEqual(["night"]);
});
