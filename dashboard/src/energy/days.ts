import { answer, api, type Schemas } from "../api/client";
import { DAY, HOUR } from "../format/time";

type Device = Schemas["Device"];
type Reading = Schemas["Reading"];

const KWH: Record<string, number> = { Wh: 0.001, kWh: 1, MWh: 1000 };

/** Readings of one device that are asked for at most: an hour each. */
const ROWS_MAX = 5_000;
/** So many devices are asked for at once. */
const AT_ONCE = 4;

/** At night, from the browser's 2 to 5 o'clock, what still runs is standby. */
const NIGHT_FROM_HOUR = 2;
const NIGHT_TO_HOUR = 5;
const NIGHTS = 7;

export interface Usage {
    device: string;
    /** kWh of each day, today last; null where the counter said nothing. */
    days: (number | null)[];
    /** Mean power at night in watts; null where no power was measured. */
    standbyW: number | null;
}

/** The counter that goes on over resets: the total, where there are several. */
export function counter(device: Device): Schemas["Metric"] | undefined {
    const counters = device.metrics.filter(
        (metric) => metric.metric.endsWith(".cumulative") && metric.unit !== null && metric.unit in KWH,
    );
    return counters.find((metric) => /total/i.test(metric.metric)) ?? counters[0];
}

/** What the power that a device takes is the sum of: its power, or else that of each of its channels. */
export function powers(device: Device): Schemas["Metric"][] {
    const watts = device.metrics.filter((metric) => metric.unit === "W" || metric.unit === "kW");
    const whole = watts.find((metric) => /(^|[._])(active_|a)?power$/i.test(metric.metric));
    if (whole) return [whole];
    const channels = watts.filter((metric) => /power[._]?\d+$/i.test(metric.metric));
    return channels.length > 0 ? channels : watts.slice(0, 1);
}

/** Midnights of the browser's zone: the start of each day and the end of today. */
export function midnights(days: number, now: Date): number[] {
    return Array.from({ length: days + 1 }, (_, index) =>
        new Date(now.getFullYear(), now.getMonth(), now.getDate() - days + 1 + index).getTime(),
    );
}

/** What a counter grew by from each moment to the next. */
export function grown(readings: Reading[], bounds: number[]): (number | null)[] {
    const values = readings.flatMap(({ ts, value, unit }) =>
        value === null ? [] : [{ ms: Date.parse(ts), kwh: value * (KWH[unit ?? ""] ?? 1) }],
    );
    // The last known before a moment: a counter that is silent stands still.
    const at = (ms: number) => values.findLast((one) => one.ms < ms)?.kwh;
    return bounds.slice(1).map((end, index) => {
        const start = bounds[index]!;
        if (!values.some((one) => one.ms >= start && one.ms < end)) return null;
        const before = at(start) ?? values[0]!.kwh;
        return Math.max(0, (at(end) ?? before) - before);
    });
}

export function standby(readings: Reading[]): number | null {
    const night = readings.flatMap(({ ts, value, unit }) => {
        const hour = new Date(ts).getHours();
        if (value === null || hour < NIGHT_FROM_HOUR || hour >= NIGHT_TO_HOUR) return [];
        return [unit === "kW" ? value * 1000 : value];
    });
    if (night.length === 0) return null;
    return night.reduce((sum, value) => sum + value, 0) / night.length;
}

/** What each device used, told one by one as it is known, a few devices at a time. */
export async function usage(
    home: string,
    devices: Device[],
    bounds: number[],
    signal: AbortSignal,
    tell: (usage: Usage) => void,
): Promise<void> {
    const waiting = [...devices];
    const work = async () => {
        for (let next = waiting.shift(); next && !signal.aborted; next = waiting.shift()) {
            tell(await one(home, next, bounds, signal));
        }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
}

async function one(home: string, device: Device, bounds: number[], signal: AbortSignal): Promise<Usage> {
    const counts = counter(device);
    const ask = (metric: string, fromMs: number, agg?: string) =>
        readings(home, device.device, metric, fromMs, agg, signal);
    const fromMs = bounds[0]! - DAY;
    const [first, counted, ...watts] = await Promise.all([
        counts ? ask(counts.metric, fromMs) : [],
        counts ? ask(counts.metric, fromMs, "last") : [],
        ...powers(device).map((metric) => ask(metric.metric, Date.now() - NIGHTS * DAY, "avg")),
    ]);
    const idle = watts.map(standby).filter((watt) => watt !== null);
    const standbyW = idle.length === 0 ? null : idle.reduce((sum, watt) => sum + watt, 0);
    return { device: device.device, days: grown([...first!, ...counted!], bounds), standbyW };
}

/** The first reading from a moment on, or with `agg` one for each hour. */
async function readings(
    home: string,
    device: string,
    metric: string,
    fromMs: number,
    agg: string | undefined,
    signal: AbortSignal,
): Promise<Reading[]> {
    // Where midnight is at half past, hours of UTC would cut days wrongly.
    const every = new Date().getTimezoneOffset() % 60 === 0 ? "1h" : "15m";
    const from = String(Math.floor(fromMs / HOUR) * HOUR);
    const how = agg === undefined ? { limit: 1 } : { every, agg, limit: ROWS_MAX };
    const params = { path: { home, device }, query: { metric: [metric], from, ...how } };
    const page = await answer(api.GET("/v1/homes/{home}/devices/{device}/readings", { params, signal }));
    return (page as Schemas["ReadingsPage"]).readings;
}
