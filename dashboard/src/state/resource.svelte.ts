import { untrack } from "svelte";
import { Problem } from "../api/problem";
import { service } from "./service.svelte";

/** Something read from the service: its last value stays while it is read again, or cannot be. */
export class Resource<T> {
    value = $state.raw<T>();
    problem = $state.raw<Problem>();
    isLoading = $state(true);
    /** When the value was read. */
    at = $state.raw<Date>();
    #asked = $state(0);

    /** Must be called while a component is set up. What `load` reads before it first waits is followed. */
    constructor(load: (signal: AbortSignal) => Promise<T>, everyMs?: number) {
        $effect(() => {
            const abort = new AbortController();
            void service.returns;
            void this.#asked;
            const loaded = load(abort.signal);
            untrack(() => void this.#take(loaded, abort.signal));
            const timer =
                everyMs === undefined ? undefined : setInterval(() => document.hidden || this.reload(), everyMs);
            return () => {
                clearInterval(timer);
                abort.abort();
            };
        });
    }

    reload(): void {
        this.#asked += 1;
    }

    async #take(loaded: Promise<T>, signal: AbortSignal): Promise<void> {
        this.isLoading = true;
        try {
            const value = await loaded;
            if (signal.aborted) return;
            this.value = value;
            this.at = new Date();
            this.problem = undefined;
        } catch (error) {
            if (signal.aborted) return;
            this.problem = Problem.from(error);
        }
        this.isLoading = false;
    }
}
