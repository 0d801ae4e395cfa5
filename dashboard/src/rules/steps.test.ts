import { expect, test } from "vitest";
import { idOf } from "../format/names";
import { ACTIONS, begun, kindOf, scalarOf, scalarText, TRIGGERS, valueIn, withValue } from "./steps";
import { cronOf, timesOf } from "./times";

test.each([
    ["on", true],
    ["off", false],
    ["21.5", 21.5],
    ["-3", -3],
    ["open", "open"],
    ["ON", "ON"],
    ["", ""],
    ['"21"', "21"],
    ['{"a":1}', { a: 1 }],
    ["{{ value('a/b') }}", "{{ value('a/b') }}"],
    ["[1,", "[1,"],
])("%s is %j", (text, value) => expect(scalarOf(text)).toEqual(value));

test.each([[true], [false], [21.5], ["open"], ["21"], ["on"], [""], [{ a: [1] }], ["{{ mode }}"]])(
    "%j is read as it was shown",
    (value) => expect(scalarOf(scalarText(value))).toEqual(value),
);

test.each([...TRIGGERS, ...ACTIONS])("$kind begins as what is known", (kind) => {
    const step = begun(kind);
    const known = kindOf(
        step,
        [...TRIGGERS, ...ACTIONS].filter((one) => one === kind),
    );
    expect(known).toBe(kind);
    for (const field of kind.fields.filter(({ isOptional }) => !isOptional)) {
        expect(valueIn(step, kind, field)).toBeDefined();
    }
});

test("a field is said, and taken back", () => {
    const change = TRIGGERS.find(({ kind }) => kind === "change")!;
    const to = change.fields.find(({ name }) => name === "to")!;
    const said = withValue({ change: { device: "a", metric: "open" } }, change, to, true);
    expect(said).toEqual({ change: { device: "a", metric: "open", to: true } });
    expect(withValue(said, change, to, undefined)).toEqual({ change: { device: "a", metric: "open" } });
    const other = withValue(said, change, change.fields[0]!, "b");
    expect(other).toEqual({ change: { device: "b", metric: "", to: true } });
    const every = TRIGGERS.find(({ kind }) => kind === "every")!;
    expect(withValue({ every: "5m" }, every, every.fields[0]!, "1h")).toEqual({ every: "1h" });
});

test.each([
    ["Stale air", "stale-air"],
    ["  Größe: 3 m! ", "gro-e-3-m"],
    ["…", ""],
])("%s has the id %s", (name, id) => expect(idOf(name)).toBe(id));

test.each([
    ["30 7 * * 1-5", { at: "07:30", days: "1-5" }],
    ["0 22 * * *", { at: "22:00", days: "*" }],
    ["*/5 * * * *", undefined],
    ["0 7 1 * *", undefined],
])("%s is %j", (cron, times) => {
    expect(timesOf(cron)).toEqual(times);
    if (times) expect(cronOf(times)).toBe(cron);
});
