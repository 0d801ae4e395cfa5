import { expect, test } from "vitest";
import { grown, midnights, standby } from "./days";

function reading(ms: number, value: number | null, unit = "kWh") {
    const ts = new Date(ms).toISOString();
    return {
        ts,
        value,
        unit,
        count: 1,
        device: "plug",
        edge: null,
        metric: "energy",
        quality: null,
        received: null,
        seq: null,
        text: null,
    };
}

test("a day is what the counter grew by from midnight to midnight", () => {
    const said = [reading(5, 10), reading(15, 11), reading(25, 14)];
    expect(grown(said, [10, 20, 30])).toEqual([1, 3]);
});

test("the first day begins with the first reading", () => {
    expect(grown([reading(12, 10), reading(18, 12)], [10, 20])).toEqual([2]);
});

test("a day without a reading is unknown, and what came meanwhile counts for the day that tells it", () => {
    expect(grown([reading(5, 10), reading(25, 14)], [10, 20, 30])).toEqual([null, 4]);
});

test("watt-hours become kilowatt-hours", () => {
    expect(grown([reading(5, 1000, "Wh"), reading(15, 2500, "Wh")], [10, 20])).toEqual([1.5]);
});

test("days are calendar days, today last", () => {
    const bounds = midnights(3, new Date(2026, 2, 30, 15, 30));
    expect(bounds).toEqual([28, 29, 30, 31].map((day) => new Date(2026, 2, day).getTime()));
});

test("standby is the mean power from two to five o'clock", () => {
    const at = (hour: number) => new Date(2026, 5, 1, hour).getTime();
    expect(
        standby([reading(at(1), 90, "W"), reading(at(2), 4, "W"), reading(at(4), 8, "W"), reading(at(5), 90, "W")]),
    ).toBe(6);
    expect(standby([reading(at(12), 90, "W")])).toBeNull();
    expect(standby([reading(at(3), 0.01, "kW")])).toBe(10);
});
