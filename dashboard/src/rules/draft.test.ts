import { expect, test } from "vitest";
import { Draft } from "./draft.svelte";
import { EMPTY, tidied } from "./rule";

test("the id follows the name until another is typed", () => {
    const draft = new Draft({ name: "Good night" });
    expect(draft.id).toBe("good-night");
    draft.change({ name: "Film" });
    expect(draft.id).toBe("film");
    draft.typeId("cinema");
    draft.change({ name: "Films" });
    expect(draft.id).toBe("cinema");
    draft.typeId("");
    draft.change({ name: "Films!" });
    expect(draft.id).toBe("films");
    draft.edit("rest", { name: "Sleep" });
    draft.change({ name: "Sleep well" });
    expect([draft.id, draft.written().name]).toEqual(["rest", "Sleep well"]);
    draft.clear();
    expect([draft.id, draft.written().name]).toEqual(["good-night", "Good night"]);
});

test("form and JSON say the same, and wrong JSON stays", () => {
    const draft = new Draft(EMPTY, tidied);
    draft.change({ name: " Stale air ", for: " 5m", if: " ", priority: 0, enabled: true });
    draft.turn();
    const rule = { name: "Stale air", when: EMPTY.when, for: "5m", then: EMPTY.then };
    expect(JSON.parse(draft.text)).toEqual(rule);
    draft.text = "{";
    expect(() => draft.turn()).toThrow();
    expect([draft.isJson, draft.text]).toEqual([true, "{"]);
    draft.text = JSON.stringify({ ...rule, enabled: false, cooldown: "1h" });
    draft.turn();
    expect(draft.isJson).toBe(false);
    expect(draft.written()).toEqual({ ...rule, enabled: false, cooldown: "1h" });
});
