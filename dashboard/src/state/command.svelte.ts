import { answer, api, type Schemas } from "../api/client";
import { Problem } from "../api/problem";

type Command = Schemas["Command"];

/** How long one question for the outcome waits, and how long the outcome is asked for at all. */
const ASK_WAIT = "10s";
const FOLLOW_MS = 60_000;

/** How long a confirmation stays on the page. */
const CONFIRMED_SHOWN_MS = 4_000;

export type Outcome =
    "idle" | "sending" | "pending" | "delivered" | "confirmed" | "timed_out" | "refused" | "superseded" | "failed";

const WORDS: Record<Outcome, string> = {
    idle: "",
    sending: "Sending…",
    pending: "Waiting for the box…",
    delivered: "Sent, waiting for the device…",
    confirmed: "Confirmed",
    timed_out: "The device did not confirm in time",
    refused: "Refused",
    superseded: "Something else came in its place",
    failed: "Not sent",
};

const REASONS: Record<string, string> = {
    changed_at_device: "it was changed at the device meanwhile",
    policy: "another wish at the same time is safer",
    older: "another wish is newer",
    conflict: "somebody wanted otherwise at the same time",
    clock_ahead: "it is stamped with a time that has not come",
    clock_not_set: "the box does not know what time it is",
    box_restarted: "the box restarted before it was done",
};

/** One control's latest command, followed to its end. */
export class CommandFollower {
    outcome = $state<Outcome>("idle");
    detail = $state("");
    /** What was asked for; it is shown until the outcome is known. */
    wanted = $state.raw<unknown>();
    #turn = 0;

    readonly isWaiting = $derived(["sending", "pending", "delivered"].includes(this.outcome));

    get words(): string {
        return this.detail ? `${WORDS[this.outcome]}: ${this.detail}` : WORDS[this.outcome];
    }

    /** Set a metric. What must happen now or never is `isLive`: it is asked of the device itself. */
    async set(home: string, device: string, metric: string, value: unknown, isLive: boolean): Promise<void> {
        const turn = ++this.#turn;
        this.outcome = "sending";
        this.detail = "";
        this.wanted = value;
        const params = { params: { path: { home, device } }, body: { [metric]: value } };
        try {
            const path = "/v1/homes/{home}/devices/{device}";
            const sent = isLive ? api.POST(`${path}/call`, params) : api.PATCH(`${path}/desired`, params);
            const command = (await answer<Schemas["Commands"]>(sent)).commands[0];
            if (command) await this.#follow(home, command, turn);
        } catch (error) {
            if (turn !== this.#turn) return;
            this.outcome = "failed";
            this.detail = Problem.from(error).message;
        }
    }

    async #follow(home: string, command: Command, turn: number): Promise<void> {
        const until = Date.now() + FOLLOW_MS;
        while (turn === this.#turn) {
            this.outcome = command.status as Outcome;
            this.detail = command.reason ? (REASONS[command.reason] ?? command.reason) : "";
            const isOpen = command.status === "pending" || command.status === "delivered";
            if (!isOpen || command.done !== null || Date.now() > until) break;
            const path = { home, command: command.command };
            command = await answer(
                api.GET("/v1/homes/{home}/commands/{command}", { params: { path, query: { wait: ASK_WAIT } } }),
            );
        }
        if (this.outcome !== "confirmed") return;
        setTimeout(() => {
            if (turn === this.#turn) this.outcome = "idle";
        }, CONFIRMED_SHOWN_MS);
    }
}
