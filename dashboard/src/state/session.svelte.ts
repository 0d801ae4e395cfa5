import { answer, api, onUnauthenticated, type Schemas, setCsrf } from "../api/client";
import { Problem } from "../api/problem";

type Session = Schemas["Session"];

/** Who looks at the page, and what the service that serves it can do. */
class SessionState {
    /** `unknown` until the service has said whether there is a session. */
    state = $state<"unknown" | "none" | "open">("unknown");
    session = $state.raw<Session>();
    problem = $state.raw<Problem>();
    /** A cloud has stores; a box has MQTT clients. What one may not see is not shown either. */
    hasStores = $state(false);
    hasClients = $state(false);

    /** What its role allows; what it does not is neither tried nor shown. */
    readonly mayLookBack = $derived(this.session !== undefined && this.session.role !== "guest");
    readonly mayControl = $derived(this.session !== undefined && this.session.role !== "analyst");
    readonly mayArrange = $derived(this.session?.role === "owner" || this.session?.role === "member");
    readonly mayAdminister = $derived(this.session?.role === "owner");

    async start(): Promise<void> {
        onUnauthenticated(() => this.state === "open" && this.#close());
        try {
            await this.#open(await answer(api.GET("/v1/session")));
        } catch (error) {
            this.problem = Problem.from(error);
            if (this.problem.status === 401) this.#close();
        }
    }

    async logIn(name: string, password: string): Promise<void> {
        await this.#open(await answer(api.POST("/v1/session", { body: { name, password } })));
    }

    async setUp(code: string, name: string, password: string): Promise<void> {
        await this.#open(await answer(api.POST("/v1/setup", { body: { code, name, password } })));
    }

    async logOut(): Promise<void> {
        await answer(api.DELETE("/v1/session"));
        this.#close();
    }

    async #open(session: Session): Promise<void> {
        setCsrf(session.csrf ?? "");
        this.session = session;
        this.problem = undefined;
        // What the role does not allow is not tried: each refusal would be noted.
        const owns = session.role === "owner";
        const ownsAll = owns && session.homes.includes("*");
        [this.hasStores, this.hasClients] = await Promise.all([
            ownsAll && isThere(api.GET("/v1/stores")),
            owns && isThere(api.GET("/v1/broker/clients", { params: { query: { limit: 1 } } })),
        ]);
        this.state = "open";
    }

    #close(): void {
        setCsrf("");
        this.session = undefined;
        this.state = "none";
    }
}

async function isThere(call: Promise<{ response: Response }>): Promise<boolean> {
    try {
        return (await call).response.ok;
    } catch {
        return false;
    }
}

export const session = new SessionState();
