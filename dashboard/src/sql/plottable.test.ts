import { expect, test } from "vitest";
import { plottable } from "./plottable";

const TIME = 'Timestamp(ms, "UTC")';

function answer(columns: [string, string][], rows: unknown[][]) {
    return {
        columns: columns.map(([name, type]) => ({ name, type })),
        rows,
        missing: [],
        took_ms: 1,
        truncated: false,
    };
}

test("numbers over time are lines", () => {
    const drawn = plottable(
        answer(
            [
                ["ts", TIME],
                ["a", "Float64"],
                ["b", "Int64"],
            ],
            [
                ["2026-01-01T00:00:01Z", 2, 3],
                ["2026-01-01T00:00:00Z", 1, null],
            ],
        ) as never,
    );
    expect(drawn?.xs).toEqual([1767225600, 1767225601]);
    expect(drawn?.lines).toEqual([
        { label: "a", values: [1, 2] },
        { label: "b", values: [null, 3] },
    ]);
});

test("a column of words makes a line of each word", () => {
    const rows = [
        ["2026-01-01T00:00:00Z", "x", 1],
        ["2026-01-01T00:00:00Z", "y", 2],
        ["2026-01-01T00:00:01Z", "x", 3],
    ];
    const drawn = plottable(
        answer(
            [
                ["ts", TIME],
                ["device", "Utf8"],
                ["v", "Float64"],
            ],
            rows,
        ) as never,
    );
    expect(drawn?.lines).toEqual([
        { label: "x", values: [1, 3] },
        { label: "y", values: [2, null] },
    ]);
});

test("texts, one number and one row are no plot", () => {
    expect(
        plottable(
            answer(
                [
                    ["device", "Utf8"],
                    ["n", "Int64"],
                ],
                [
                    ["a", 1],
                    ["b", 2],
                ],
            ) as never,
        ),
    ).toBeUndefined();
    expect(
        plottable(
            answer(
                [
                    ["ts", TIME],
                    ["n", "Int64"],
                ],
                [["2026-01-01T00:00:00Z", 1]],
            ) as never,
        ),
    ).toBeUndefined();
});
