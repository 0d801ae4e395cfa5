import { describe, expect, test } from "vitest";
import { boundsOf, draftOf, everyWords, kindOf, valueOf } from "./params";

describe("a parameter", () => {
    test.each([
        ["a number", 1.5, "1.5"],
        ["a text", "(?i)return|export", "(?i)return|export"],
        ["a switch", true, "true"],
        ["a list of numbers", [0.1, -2, 30], "0.1 -2 30"],
        ["a list of texts", ["a, b", "c"], "a, b\nc"],
        ["an empty list", [], ""],
    ])("that is %s is the same after it was shown and read", (_, value, draft) => {
        expect(draftOf(value)).toBe(draft);
        expect(valueOf(kindOf(value), draft)).toEqual(value);
    });

    test("that is no number is left for the service to refuse", () => {
        expect(valueOf("number", "many")).toBe("many");
        expect(valueOf("number", "")).toBe("");
        expect(valueOf("numbers", "1, two")).toEqual([1, "two"]);
    });

    test.each([
        [{ unit: "W", min: 0, max: null }, "W, 0 or more"],
        [{ unit: "%", min: 0, max: 100 }, "%, 0 to 100"],
        [{ unit: null, min: null, max: 5 }, "5 or less"],
        [{ unit: null, min: null, max: null }, ""],
    ])("%o is told as %s", (param, words) => expect(boundsOf(param)).toBe(words));
});

test.each([
    ["6h", "every 6 hours"],
    ["1h", "every hour"],
    ["1h30m", "every 1h30m"],
    ["20 6 * * *", "each day at 06:20"],
    ["30 6 * * 1", "each Monday at 06:30"],
    ["5 * * * *", "each hour at 05 minutes"],
    ["15 */6 * * *", "every 6 hours at 15 minutes"],
    ["*/5 * * * *", "*/5 * * * *"],
    ["0 7 1 * *", "0 7 1 * *"],
    ["0 7 * * 1-5", "0 7 * * 1-5"],
])("a pack runs %s: %s", (every, words) => expect(everyWords(every)).toBe(words));
