import { answer, api, type Schemas } from "../api/client";
import { Problem } from "../api/problem";
import { session } from "../state/session.svelte";

type Scene = Schemas["StoredScene"];

/** How long the box is asked whether it has done it, and how often. */
const FOLLOW_MS = 15_000;
const ASK_EVERY_MS = 700;

export type StartOutcome = "idle" | "asked" | "done" | "silent" | "failed";

/** One scene's latest start, followed until the box says that it did it. */
export class SceneStart {
    outcome = $state<StartOutcome>("idle");
    detail = $state("");
    #turn = 0;

    get words(): string {
        switch (this.outcome) {
            case "idle":
                return "";
            case "asked":
                return "Started, waiting for the box…";
            case "done":
                return this.detail ? `Done, but not all: ${this.detail}` : "Done";
            case "silent":
                return "The box has not said that it did it. If it is away, it does it only when it is back within a minute.";
            case "failed":
                return `Not started: ${this.detail}`;
        }
    }

    /** Start it; answers what is known of the scene then. */
    async start(home: string, scene: string): Promise<Scene | undefined> {
        const turn = ++this.#turn;
        this.outcome = "asked";
        this.detail = "";
        try {
            const params = { path: { home, scene } };
            return await answer(api.POST("/v1/homes/{home}/scenes/{scene}/start", { params }));
        } catch (error) {
            if (turn === this.#turn) this.#end("failed", Problem.from(error).message);
            return undefined;
        }
    }

    /** Ask until the box has done what was started; answers whether it has. */
    async follow(home: string, { scene, started }: Scene): Promise<boolean> {
        const turn = this.#turn;
        // Who may not look back is not told.
        if (started === null || !session.mayLookBack) {
            this.#end("idle");
            return true;
        }
        const until = Date.now() + FOLLOW_MS;
        const params = { path: { home }, query: { rule: `scene/${scene}`, from: started, limit: 1 } };
        while (turn === this.#turn && Date.now() < until) {
            const said = await answer(api.GET("/v1/homes/{home}/firings", { params })).catch(() => undefined);
            const firing = said?.firings[0];
            if (turn !== this.#turn) break;
            if (firing) {
                this.#end("done", firing.overruled.join("; "));
                return true;
            }
            await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS));
        }
        if (turn === this.#turn) this.#end("silent");
        return false;
    }

    #end(outcome: StartOutcome, detail = ""): void {
        this.outcome = outcome;
        this.detail = detail;
    }
}
