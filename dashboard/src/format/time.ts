// Words are those of the page, which is in English; clocks, dates and numbers are those of the reader.
const WORDS = "en";
const relative = new Intl.RelativeTimeFormat(WORDS, { numeric: "always", style: "short" });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const clockSeconds = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const daySeconds = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const dayClock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const date = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });

export const SECOND = 1_000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

const STEPS: [number, Intl.RelativeTimeFormatUnit][] = [
    [365 * DAY, "year"],
    [30 * DAY, "month"],
    [DAY, "day"],
    [HOUR, "hour"],
    [MINUTE, "minute"],
    [SECOND, "second"],
];

/** How long ago, in its largest unit. What is only just past is `now`. */
export function ago(at: string | number | Date, nowMs: number): string {
    const ms = new Date(at).getTime() - nowMs;
    if (Math.abs(ms) < 5 * SECOND) return "now";
    for (const [step, unit] of STEPS) {
        if (Math.abs(ms) >= step) return relative.format(Math.trunc(ms / step), unit);
    }
    return "now";
}

export function clockTime(at: Date): string {
    return clock.format(at);
}

/** As exact as it matters: the clock for today, with the day for other days. */
export function moment(at: string | number | Date, nowMs: number = Date.now()): string {
    const when = new Date(at);
    const isToday = when.toDateString() === new Date(nowMs).toDateString();
    return isToday ? clockSeconds.format(when) : dayClock.format(when);
}

/** From a time to a later one, with what both share said once. */
export function range(from: string | number | Date, to: string | number | Date): string {
    const [first, last] = [new Date(from), new Date(to)];
    const isShort = last.getTime() - first.getTime() < 10 * MINUTE;
    return (isShort ? daySeconds : dayClock).formatRange(first, last);
}

export function exactly(at: string | number | Date): string {
    return full.format(new Date(at));
}

export function day(at: string | number | Date): string {
    return date.format(new Date(at));
}

const LENGTHS: [number, string][] = [
    [365 * DAY, "years"],
    [DAY, "days"],
    [HOUR, "hours"],
    [MINUTE, "minutes"],
    [SECOND, "seconds"],
    [1, "milliseconds"],
];

/** A length of time in its largest unit. */
export function length(ms: number): string {
    for (const [step, unit] of LENGTHS) {
        if (ms < step) continue;
        const style = {
            style: "unit",
            unit: unit.slice(0, -1),
            unitDisplay: "long",
            maximumFractionDigits: 1,
        } as const;
        return new Intl.NumberFormat(WORDS, style).format(ms / step);
    }
    return "0";
}

const month = new Intl.DateTimeFormat(undefined, { month: "short" });
const monthDay = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

/** What stands under a tick of a chart: as exact as the step from tick to tick, and with the larger unit where that changes. */
export function tickTime(at: number, before: number | undefined, stepSeconds: number): string {
    const when = new Date(at * SECOND);
    const last = before === undefined ? undefined : new Date(before * SECOND);
    const isNewYear = when.getFullYear() !== last?.getFullYear();
    const isNewDay = when.toDateString() !== last?.toDateString();
    if (stepSeconds * SECOND >= 28 * DAY)
        return isNewYear ? `${month.format(when)}\n${when.getFullYear()}` : month.format(when);
    if (stepSeconds * SECOND >= DAY)
        return isNewYear ? `${monthDay.format(when)}\n${when.getFullYear()}` : monthDay.format(when);
    const time = stepSeconds < 60 ? clockSeconds.format(when) : clock.format(when);
    return isNewDay ? `${time}\n${monthDay.format(when)}` : time;
}
