import { DAY, HOUR, MINUTE, SECOND } from "../format/time";

/** What a chart shows: up to now and moving on with it, or fixed. */
export interface Span {
    fromMs: number;
    toMs: number;
    isMoving: boolean;
}

export interface Preset {
    key: string;
    words: string;
    ms: number;
}

export const PRESETS: Preset[] = [
    { key: "5m", words: "5 min", ms: 5 * MINUTE },
    { key: "1h", words: "Hour", ms: HOUR },
    { key: "1d", words: "Day", ms: DAY },
    { key: "7d", words: "Week", ms: 7 * DAY },
    { key: "30d", words: "Month", ms: 30 * DAY },
    { key: "366d", words: "Year", ms: 366 * DAY },
];

const DEFAULT = "1h";
const SPAN_MIN_MS = SECOND;
const SPAN_MAX_MS = 100 * 366 * DAY;

/** The span that an address names: a preset, or two moments. */
export function fromQuery(query: URLSearchParams, nowMs: number, firstMs: number): Span {
    const from = Number(query.get("from"));
    const to = Number(query.get("to"));
    if (from > 0 && to > from) return { fromMs: from, toMs: to, isMoving: false };
    const key = query.get("span") ?? DEFAULT;
    if (key === "all") return { fromMs: Math.min(firstMs, nowMs - MINUTE), toMs: nowMs, isMoving: true };
    const preset = PRESETS.find((one) => one.key === key) ?? PRESETS.find((one) => one.key === DEFAULT)!;
    return { fromMs: nowMs - preset.ms, toMs: nowMs, isMoving: true };
}

/** What an address says of a fixed span. */
export function toQuery(fromMs: number, toMs: number): Record<string, string | undefined> {
    return { from: String(Math.round(fromMs)), to: String(Math.round(toMs)), span: undefined };
}

/** Narrower (`factor` below 1) or wider around the middle; never past now. */
export function zoomed(span: Span, factor: number, nowMs: number): [number, number] {
    const length = Math.min(SPAN_MAX_MS, Math.max(SPAN_MIN_MS, (span.toMs - span.fromMs) * factor));
    const middle = (span.fromMs + span.toMs) / 2;
    const to = Math.min(nowMs, middle + length / 2);
    return [Math.max(0, to - length), to];
}

/** Earlier or later by a share of its length; never past now. */
export function moved(span: Span, share: number, nowMs: number): [number, number] {
    const length = span.toMs - span.fromMs;
    const to = Math.min(nowMs, span.toMs + length * share);
    return [to - length, to];
}
