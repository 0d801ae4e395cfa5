import { SvelteMap } from "svelte/reactivity";
import type { Schemas } from "../api/client";
import { service } from "./service.svelte";

type LiveReading = Schemas["LiveReading"];

/** Readings are shown together, at most so often. */
const SHOW_EVERY_MS = 250;

/** A browser gives up on a stream that was answered with an error; we try again after this. */
const REOPEN_AFTER_MS = 3_000;

const KINDS = ["reading", "twin", "presence", "alarm"];

export type StreamState = "closed" | "opening" | "open" | "broken";

/** What happens in one home, as it happens. */
class Live {
    state = $state<StreamState>("closed");
    /** When the last event came. */
    heard = $state<Date>();
    /** When the stream broke off. */
    brokenAt = $state(0);
    readings = new SvelteMap<string, LiveReading>();
    /** Whether a box or a device is there, by its id. */
    online = new SvelteMap<string, boolean>();
    /** How often a device's twin has changed. */
    twins = new SvelteMap<string, number>();
    /** Grows when an alarm has changed. */
    alarms = $state(0);
    /** Grows when everything that is known has to be read anew. */
    resets = $state(0);

    #home: string | undefined;
    #source: EventSource | undefined;
    #waiting = new Map<string, LiveReading>();
    #reopen: ReturnType<typeof setTimeout> | undefined;

    start(): void {
        setInterval(() => this.#show(), SHOW_EVERY_MS);
        addEventListener("online", () => this.state === "broken" && this.#open());
    }

    reading(device: string, metric: string): LiveReading | undefined {
        return this.readings.get(key(device, metric));
    }

    follow(home: string | undefined): void {
        if (home === this.#home) return;
        this.#home = home;
        this.#waiting.clear();
        this.readings.clear();
        this.online.clear();
        this.twins.clear();
        this.#open();
    }

    #open(): void {
        clearTimeout(this.#reopen);
        this.#source?.close();
        this.#source = undefined;
        if (this.#home === undefined) {
            this.state = "closed";
            return;
        }
        const kinds = KINDS.map((kind) => `kind=${kind}`).join("&");
        const source = new EventSource(`/v1/homes/${encodeURIComponent(this.#home)}/live?${kinds}`);
        this.#source = source;
        this.state = this.state === "broken" ? "broken" : "opening";
        source.onopen = () => {
            this.state = "open";
        };
        source.onerror = () => this.#broke(source);
        source.addEventListener("reading", (event) => {
            const reading = JSON.parse(event.data) as LiveReading;
            this.#waiting.set(key(reading.device, reading.metric), reading);
        });
        source.addEventListener("presence", (event) => {
            const presence = JSON.parse(event.data) as Schemas["LivePresence"];
            this.online.set(presence.id, presence.online);
        });
        source.addEventListener("twin", (event) => {
            const { device } = JSON.parse(event.data) as Schemas["LiveTwin"];
            this.twins.set(device, (this.twins.get(device) ?? 0) + 1);
        });
        source.addEventListener("alarm", () => (this.alarms += 1));
        for (const kind of ["gap", "reset"]) source.addEventListener(kind, () => (this.resets += 1));
    }

    /** The browser comes back by itself, with the id of the last event, unless the service refused the stream. */
    #broke(source: EventSource): void {
        if (this.state !== "broken") this.brokenAt = Date.now();
        this.state = "broken";
        if (source.readyState !== EventSource.CLOSED) return;
        clearTimeout(this.#reopen);
        this.#reopen = setTimeout(() => {
            // What came in between is unknown to a new stream.
            this.resets += 1;
            this.#open();
        }, REOPEN_AFTER_MS);
    }

    #show(): void {
        if (this.#waiting.size === 0 || document.hidden) return;
        for (const [series, reading] of this.#waiting) this.readings.set(series, reading);
        this.#waiting.clear();
        this.heard = new Date();
        service.answered = this.heard;
    }
}

function key(device: string, metric: string): string {
    return `${device}\n${metric}`;
}

export const live = new Live();
