import type { Schemas } from "../api/client";

type Param = Schemas["InsightParam"];

/** How a parameter is written on a page. */
export type ParamKind = "number" | "text" | "switch" | "numbers" | "texts";

export function kindOf(value: unknown): ParamKind {
    if (typeof value === "number") return "number";
    if (typeof value === "boolean") return "switch";
    if (!Array.isArray(value)) return "text";
    return value.length > 0 && value.every((one) => typeof one === "number") ? "numbers" : "texts";
}

/** What stands in the field of a value. Numbers of a list stand side by side, its texts below each other. */
export function draftOf(value: unknown): string {
    if (!Array.isArray(value)) return String(value ?? "");
    return value.join(kindOf(value) === "numbers" ? " " : "\n");
}

/** The value of what was typed. What is no number stays a text, so that the service says what is wrong with it. */
export function valueOf(kind: ParamKind, draft: string): unknown {
    switch (kind) {
        case "number":
            return numberOf(draft);
        case "switch":
            return draft === "true";
        case "numbers":
            return draft
                .split(/[\s,;]+/)
                .filter(Boolean)
                .map(numberOf);
        case "texts":
            return draft
                .split("\n")
                .map((line) => line.trim())
                .filter(Boolean);
        case "text":
            return draft;
    }
}

function numberOf(text: string): number | string {
    const value = Number(text);
    return text.trim() === "" || Number.isNaN(value) ? text : value;
}

/** `W, 0 or more`: unit and bounds of a parameter. */
export function boundsOf({ unit, min, max }: Pick<Param, "unit" | "min" | "max">): string {
    const bounds =
        min !== null && max !== null
            ? `${min} to ${max}`
            : min !== null
              ? `${min} or more`
              : max !== null
                ? `${max} or less`
                : "";
    return [unit, bounds].filter(Boolean).join(", ");
}

const UNITS: Record<string, string> = { s: "second", m: "minute", h: "hour", d: "day", w: "week" };

/** `every 6 hours` of `6h`. */
function lengthWords(every: string): string {
    const [, count, unit] = /^(\d+)([smhdw])$/.exec(every) ?? [];
    const name = unit && UNITS[unit];
    if (!count || !name) return `every ${every}`;
    return count === "1" ? `every ${name}` : `every ${count} ${name}s`;
}

const WEEKDAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/** When a pack runs, in words where it is a usual pattern. */
export function everyWords(every: string): string {
    const [minute, hour, day, month, weekday, ...more] = every.trim().split(/\s+/);
    if (hour === undefined) return lengthWords(every);
    const isNumber = (text: string | undefined) => text !== undefined && /^\d+$/.test(text);
    if (more.length > 0 || !isNumber(minute) || day !== "*" || month !== "*") return every;
    const past = minute!.padStart(2, "0");
    if (hour === "*" && weekday === "*") return `each hour at ${past} minutes`;
    const step = /^\*\/(\d+)$/.exec(hour)?.[1];
    if (step && weekday === "*") return `every ${step} hours at ${past} minutes`;
    if (!isNumber(hour)) return every;
    const clock = `${hour.padStart(2, "0")}:${past}`;
    if (weekday === "*") return `each day at ${clock}`;
    return isNumber(weekday) && WEEKDAYS[Number(weekday)] ? `each ${WEEKDAYS[Number(weekday)]} at ${clock}` : every;
}
