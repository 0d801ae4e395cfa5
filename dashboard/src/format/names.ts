import type { Schemas } from "../api/client";

type Feature = Schemas["Feature"];

/** Names of a device's metrics for people. */
export class Names {
    readonly #features: ReadonlyMap<string, Feature>;
    /** What says nothing: the device's own name, and what several of its features are called. */
    readonly #dull: ReadonlySet<string>;

    constructor(features: Iterable<Feature>, device: string | null | undefined) {
        const all = [...features];
        this.#features = new Map(all.map((feature) => [feature.metric, feature]));
        const given = all.flatMap((feature) => feature.name ?? []);
        this.#dull = new Set([...(device ? [device] : []), ...given.filter((name, at) => given.indexOf(name) !== at)]);
    }

    of(metric: string): string {
        const feature = this.feature(metric);
        const given = feature?.name ?? "";
        const own = given === "" || this.#dull.has(given) ? metric : given;
        // The state of a light is the light.
        const isState = /^(state|power)$/i.test(own) && feature?.takes === "switch";
        return readable(isState ? feature.component : own);
    }

    /** What is known of a metric; a counter that goes on over resets is its counter's. */
    feature(metric: string): Feature | undefined {
        return this.#features.get(metric) ?? this.#features.get(metric.replace(/\.cumulative$/, ""));
    }
}

/** `link_quality` reads as `Link quality`. */
export function readable(metric: string): string {
    const words = metric
        .replace(/[_.:]/g, " ")
        .replace(/ cumulative$/, "")
        .trim();
    return words.charAt(0).toUpperCase() + words.slice(1);
}

/** An id for a name: `stale-air` of `Stale air`. */
export function idOf(name: string): string {
    const plain = name.normalize("NFKD").replace(/\p{Mark}/gu, "");
    return plain
        .toLowerCase()
        .replace(/[^a-z0-9]+/g, "-")
        .replace(/^-|-$/g, "")
        .slice(0, 48);
}
