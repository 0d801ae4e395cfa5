import { expect, test } from "vitest";
import { DAY, HOUR } from "../format/time";
import { bucket } from "./series";
import { fromQuery, moved, zoomed } from "./span";

const NOW = 1_800_000_000_000;

test("an address names a preset or two moments, and anything else is the last hour", () => {
    expect(fromQuery(new URLSearchParams("span=7d"), NOW, 0)).toEqual({
        fromMs: NOW - 7 * DAY,
        toMs: NOW,
        isMoving: true,
    });
    expect(fromQuery(new URLSearchParams("from=1000&to=2000"), NOW, 0)).toEqual({
        fromMs: 1000,
        toMs: 2000,
        isMoving: false,
    });
    for (const odd of ["", "span=x", "from=2000&to=1000", "from=a&to=b"]) {
        expect(fromQuery(new URLSearchParams(odd), NOW, 0).fromMs).toBe(NOW - HOUR);
    }
});

test("zooming keeps the middle and never goes past now", () => {
    const span = { fromMs: NOW - 4 * HOUR, toMs: NOW - 2 * HOUR, isMoving: false };
    expect(zoomed(span, 0.5, NOW)).toEqual([NOW - 3.5 * HOUR, NOW - 2.5 * HOUR]);
    expect(zoomed({ fromMs: NOW - HOUR, toMs: NOW, isMoving: true }, 2, NOW)).toEqual([NOW - 2 * HOUR, NOW]);
});

test("moving keeps the length and never goes past now", () => {
    const span = { fromMs: NOW - 3 * HOUR, toMs: NOW - HOUR, isMoving: false };
    expect(moved(span, -0.5, NOW)).toEqual([NOW - 4 * HOUR, NOW - 2 * HOUR]);
    expect(moved(span, 2, NOW)).toEqual([NOW - 2 * HOUR, NOW]);
});

test("a chart has at most 500 buckets, up to years", () => {
    for (const spanMs of [HOUR, DAY, 30 * DAY, 366 * DAY, 10 * 366 * DAY]) {
        expect(spanMs / bucket(spanMs)[1]).toBeLessThanOrEqual(500);
    }
    expect(bucket(366 * DAY)[0]).toBe("1d");
});
