import { answer, api, type Schemas } from "../api/client";
import { DAY, HOUR, MINUTE, SECOND } from "../format/time";

type Reading = Schemas["Reading"];
type Page = Schemas["ReadingsPage"];

/** A chart has about so many points: more than its pixels show nothing more. */
const POINTS = 500;
const ROWS_MAX = 10_000;

/** Up to this span readings are shown as they are. */
const RAW_SPAN_MS = 20 * MINUTE;
const RAW_ROWS_MAX = 4_000;

const WIDTHS: [string, number][] = [
    ["1s", SECOND],
    ["5s", 5 * SECOND],
    ["15s", 15 * SECOND],
    ["1m", MINUTE],
    ["5m", 5 * MINUTE],
    ["15m", 15 * MINUTE],
    ["1h", HOUR],
    ["3h", 3 * HOUR],
    ["6h", 6 * HOUR],
    ["12h", 12 * HOUR],
    ["1d", DAY],
    ["7d", 7 * DAY],
    ["30d", 30 * DAY],
];

/** A pause this many times longer than usual is drawn as one. */
const PAUSE_FACTOR = 5;

export interface Series {
    /** Seconds since 1970; `null` in the values where nothing came for a while. */
    times: number[];
    values: (number | null)[];
    /** Least and greatest of each bucket; empty for raw readings. */
    low: (number | null)[];
    high: (number | null)[];
    texts: { ts: string; text: string }[];
    unit: string | null;
    /** Width of a bucket; none for raw readings. */
    every: string | undefined;
    missing: Schemas["MissingChunk"][];
    /** There is more than could be shown. */
    isCut: boolean;
}

export interface Asked {
    home: string;
    device: string;
    metric: string;
    fromMs: number;
    toMs: number;
}

/** The width of a bucket that suits a span. */
export function bucket(spanMs: number): [string, number] {
    return WIDTHS.find(([, ms]) => spanMs / ms <= POINTS) ?? WIDTHS.at(-1)!;
}

export async function load(asked: Asked, signal: AbortSignal): Promise<Series> {
    const spanMs = asked.toMs - asked.fromMs;
    if (spanMs <= RAW_SPAN_MS) {
        const page = await ask(asked, { limit: RAW_ROWS_MAX }, signal);
        if (page.next_cursor === null) return raw(page, spanMs);
    }
    const [every, everyMs] = bucket(spanMs);
    const [mean, low, high] = await Promise.all(
        (["avg", "min", "max"] as const).map((agg) => ask(asked, { every, agg, limit: ROWS_MAX }, signal)),
    );
    if (mean!.readings.every((reading) => reading.value === null)) {
        return raw(await ask(asked, { limit: RAW_ROWS_MAX }, signal), spanMs);
    }
    return bucketed(mean!, low!, high!, every, everyMs);
}

function ask(asked: Asked, how: { every?: string; agg?: string; limit: number }, signal: AbortSignal): Promise<Page> {
    const { home, device, metric } = asked;
    const query = {
        metric: [metric],
        from: String(Math.floor(asked.fromMs)),
        to: String(Math.ceil(asked.toMs)),
        ...how,
    };
    const params = { path: { home, device }, query };
    // The document offers readings in other formats, too; this asks for JSON.
    return answer(api.GET("/v1/homes/{home}/devices/{device}/readings", { params, signal })) as Promise<Page>;
}

function raw(page: Page, spanMs: number): Series {
    const numbers = page.readings.filter((reading) => reading.value !== null);
    const texts = page.readings.flatMap(({ ts, text }) => (text === null ? [] : [{ ts, text }]));
    const series = empty(page, numbers);
    series.texts = texts;
    append(series, numbers, spanMs / POINTS, () => undefined);
    return series;
}

function bucketed(mean: Page, low: Page, high: Page, every: string, everyMs: number): Series {
    const numbers = mean.readings.filter((reading) => reading.value !== null);
    const series = empty(mean, numbers);
    series.every = every;
    // The three answers are of one moment each, and a bucket may have come between them.
    const lows = new Map(low.readings.map((reading) => [reading.ts, reading.value]));
    const highs = new Map(high.readings.map((reading) => [reading.ts, reading.value]));
    append(series, numbers, everyMs * 2, (reading) => {
        if (reading === undefined) {
            series.low.push(null);
            series.high.push(null);
        } else {
            series.low.push(lows.get(reading.ts) ?? reading.value);
            series.high.push(highs.get(reading.ts) ?? reading.value);
        }
    });
    return series;
}

function empty(page: Page, numbers: Reading[]): Series {
    return {
        times: [],
        values: [],
        low: [],
        high: [],
        texts: [],
        unit: numbers.at(-1)?.unit ?? null,
        every: undefined,
        missing: page.missing,
        isCut: page.next_cursor !== null,
    };
}

/** Put readings into the series, with an empty point in each long pause, so that no line is drawn across it. */
function append(
    series: Series,
    readings: Reading[],
    leastMs: number,
    also: (reading: Reading | undefined) => void,
): void {
    const times = readings.map((reading) => Date.parse(reading.ts));
    const pauses = times.slice(1).map((at, index) => at - times[index]!);
    const usual = pauses.toSorted((a, b) => a - b)[Math.floor(pauses.length / 2)] ?? 0;
    const pauseMs = Math.max(leastMs, usual * PAUSE_FACTOR);
    readings.forEach((reading, index) => {
        const at = times[index]!;
        const before = times[index - 1];
        if (before !== undefined && at - before > pauseMs) {
            series.times.push((before + at) / 2000);
            series.values.push(null);
            also(undefined);
        }
        series.times.push(at / 1000);
        series.values.push(reading.value);
        also(reading);
    });
}
