import type { Schemas } from "../api/client";

type Feature = Schemas["Feature"];

/** What 1 and 0 mean, for classes and metrics that have words of their own. */
const WORDS: Record<string, [string, string]> = {
    door: ["open", "closed"],
    window: ["open", "closed"],
    opening: ["open", "closed"],
    garage_door: ["open", "closed"],
    garage: ["open", "closed"],
    // Without a class of Home Assistant it is the contact itself that is closed or not.
    contact: ["closed", "open"],
    motion: ["motion", "still"],
    occupancy: ["occupied", "empty"],
    presence: ["there", "away"],
    moisture: ["wet", "dry"],
    smoke: ["smoke", "clear"],
    gas: ["gas", "clear"],
    carbon_monoxide: ["CO", "clear"],
    problem: ["problem", "fine"],
    battery: ["low", "fine"],
    connectivity: ["connected", "away"],
    lock: ["unlocked", "locked"],
    vibration: ["moving", "still"],
};

const SWITCHED: [string, string] = ["on", "off"];

interface Said {
    value: number | null;
    text: string | null;
    unit: string | null;
}

/** What a device says in a word of its own, like `locked`, beside 1 or 0. */
const WORD = /^(?!(true|false|on|off|null|none)$)[a-z][a-z_ -]*$/i;

const fine = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 3 });
const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const hundredths = new Intl.NumberFormat(undefined, { maximumFractionDigits: 2 });

/** A number as exact as one reads it at a glance. */
export function number(value: number): string {
    const size = Math.abs(value);
    if (size >= 1000) return whole.format(value);
    if (size >= 100) return tenths.format(value);
    if (size >= 1 || value === 0) return hundredths.format(value);
    return fine.format(value);
}

export function count(value: number): string {
    return whole.format(value);
}

export function percent(share: number): string {
    return new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 }).format(share);
}

/** A number with its unit; a switch, and what a device says in a word of its own, in words. */
export function reading(metric: string, said: Said, feature?: Feature): string {
    const { value, text, unit } = said;
    if (value === null || WORD.test(text ?? "")) return text === null || text === "" ? "–" : text;
    if (unit !== null || (value !== 0 && value !== 1)) return withUnit(value, unit);
    const words = WORDS[feature?.class ?? metric];
    const isSwitch = text !== null || words || feature?.takes === "switch" || feature?.component === "binary_sensor";
    return isSwitch ? (words ?? SWITCHED)[value === 1 ? 0 : 1] : number(value);
}

export function withUnit(value: number, unit: string | null | undefined): string {
    if (!unit) return number(value);
    // SI wants a space before the unit, percent and degrees of arc included; only the bare degree stands close.
    return unit === "°" ? `${number(value)}°` : `${number(value)}\u00a0${unit}`;
}

/** What a device says of what can be set: its word where it has one, else the value. */
export function stateOf(said: { value: number | null; text: string | null } | undefined): unknown {
    if (said === undefined) return undefined;
    return said.value === null || WORD.test(said.text ?? "") ? said.text : said.value;
}

/** Energy as it stands on a bill. */
export function kwh(value: number): string {
    const digits = value < 10 ? 2 : value < 100 ? 1 : 0;
    const format = new Intl.NumberFormat(undefined, { minimumFractionDigits: digits, maximumFractionDigits: digits });
    return `${format.format(value)}\u00a0kWh`;
}

/** Any JSON value in few words. */
export function json(value: unknown): string {
    if (value === null || value === undefined) return "–";
    if (typeof value === "boolean") return value ? "on" : "off";
    if (typeof value === "number") return number(value);
    return typeof value === "string" ? value : JSON.stringify(value);
}

const BYTE_UNITS = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte", "petabyte"];

export function bytes(value: number): string {
    const step = Math.min(BYTE_UNITS.length - 1, value < 1 ? 0 : Math.floor(Math.log10(value) / 3));
    const unit = BYTE_UNITS[step] ?? "byte";
    return new Intl.NumberFormat(undefined, {
        style: "unit",
        unit,
        unitDisplay: step === 0 ? "long" : "short",
        maximumFractionDigits: value / 1000 ** step < 100 ? 1 : 0,
    }).format(value / 1000 ** step);
}
