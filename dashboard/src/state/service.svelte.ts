/** How often the service is asked for a sign of life, and how often while it gives none. */
const PING_EVERY_MS = 10_000;
const PING_AWAY_EVERY_MS = 2_000;
const PING_TIMEOUT_MS = 5_000;

/** What a gateway says when the service behind it is away. */
const GATEWAY_STATUS = new Set([502, 503, 504]);

/** Whether the service answers. */
class Service {
    away = $state(false);
    /** When it last answered. */
    answered = $state(new Date());
    /** Grows whenever it is back after having been away, so that what was shown is read again. */
    returns = $state(0);
    /** Its clock less this browser's in milliseconds; it tells whole seconds. */
    skewMs = $state<number>();

    #timer: ReturnType<typeof setTimeout> | undefined;

    start(): void {
        addEventListener("online", () => this.#ping());
        addEventListener("offline", () => this.missed());
        document.addEventListener("visibilitychange", () => !document.hidden && this.#ping());
        this.#later();
    }

    heard(response: Response): void {
        const isProblem = response.headers.get("content-type")?.includes("json");
        if (GATEWAY_STATUS.has(response.status) && !isProblem) return this.missed();
        const date = response.headers.get("date");
        if (date) this.skewMs = Date.parse(date) + 500 - Date.now();
        this.answered = new Date();
        if (!this.away) return;
        this.away = false;
        this.returns += 1;
    }

    missed(): void {
        if (this.away) return;
        this.away = true;
        this.#later();
    }

    #later(): void {
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.#ping(), this.away ? PING_AWAY_EVERY_MS : PING_EVERY_MS);
    }

    async #ping(): Promise<void> {
        try {
            this.heard(await fetch("/healthz", { cache: "no-store", signal: AbortSignal.timeout(PING_TIMEOUT_MS) }));
        } catch {
            this.missed();
        }
        this.#later();
    }
}

export const service = new Service();
