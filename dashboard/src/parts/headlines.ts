import type { Schemas } from "../api/client";
import type { Names } from "../format/names";

type Metric = Schemas["Metric"];

/** So many metrics of a device are shown in the overview. */
const SHOWN_MAX = 4;

/** What people look for first. */
const FIRST = [
    "temperature",
    "humidity",
    "co2",
    "pm2_5",
    "contact",
    "occupancy",
    "motion",
    "moisture",
    "smoke",
    "lock",
    "power",
    "energy",
    "illuminance",
    "pressure",
    "position",
];

/** What is about the device rather than about the home, as words anywhere in a metric's name, and as whole parts of it. */
const ASIDE_WORDS =
    /battery|link_?quality|rssi|signal|up_?time|heap|load_?avg|mqtt_?count|sleep|voltage|frequency|wifi|last_seen|restart|dew_?point/i;
const ASIDE_PARTS =
    /(^|[._:])(availability|unit|cloud|mqtt|ota|update|device|sys|has_update|overload|overtemperature|serial|mac|time|id|tF|source|errors|output|raw|version|set|get)([._:]|$)/i;

/** The metrics of a device that say most; what can be set is shown by its control. */
export function headlines(metrics: Metric[], names: Names): Metric[] {
    return inOrder(metrics)
        .plain.filter((metric) => !names.feature(metric.metric)?.settable)
        .slice(0, SHOWN_MAX);
}

/** All metrics of a device: those about the home, what people look for first before others, and those about the device. */
export function inOrder(metrics: Metric[]): { plain: Metric[]; aside: Metric[] } {
    const isAside = ({ metric }: Metric) =>
        ASIDE_WORDS.test(metric) ||
        ASIDE_PARTS.test(metric) ||
        // Where a counter goes on over its resets, its raw count says nothing more.
        metrics.some((other) => other.metric === `${metric}.cumulative`);
    const sorted = metrics.toSorted((a, b) => rank(a.metric) - rank(b.metric));
    return { plain: sorted.filter((metric) => !isAside(metric)), aside: sorted.filter(isAside) };
}

function rank(metric: string): number {
    const at = FIRST.findIndex((word) => metric.toLowerCase().includes(word));
    return at < 0 ? FIRST.length : at;
}
