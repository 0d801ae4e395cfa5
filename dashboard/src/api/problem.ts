/** What went wrong, as the service tells it (RFC 9457), or that it did not answer. */
export class Problem extends Error {
    readonly status: number;
    readonly type: string;
    readonly title: string;

    constructor(status: number, type: string, title: string, detail: string) {
        super(detail);
        this.status = status;
        this.type = type;
        this.title = title;
    }

    static noAnswer(): Problem {
        return new Problem(0, "about:blank", "No answer", "The service did not answer.");
    }

    static of(response: Response, body: unknown): Problem {
        const said = (typeof body === "object" && body ? body : {}) as Record<string, unknown>;
        const text = (key: string, otherwise: string) => (typeof said[key] === "string" ? said[key] : otherwise);
        const title = text("title", response.statusText || `Status ${response.status}`);
        return new Problem(response.status, text("type", "about:blank"), title, text("detail", title));
    }

    static from(error: unknown): Problem {
        if (error instanceof Problem) return error;
        const detail = error instanceof Error ? error.message : String(error);
        return new Problem(-1, "about:blank", "Something went wrong in this page", detail);
    }
}
