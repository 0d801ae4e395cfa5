/** Where the page is, by the part of its address behind `#`. */
class Route {
    segments = $state.raw<string[]>([]);
    query = $state.raw(new URLSearchParams());
    /** Path without the query: the same for as long as the same page is shown. */
    path = $state("");

    start(): void {
        addEventListener("hashchange", () => this.#read());
        this.#read();
    }

    /** Write what the page shows into the address without a new entry in the browser's history. */
    setQuery(values: Record<string, string | undefined>): void {
        const query = new URLSearchParams(this.query);
        for (const [key, value] of Object.entries(values)) {
            if (value === undefined || value === "") query.delete(key);
            else query.set(key, value);
        }
        const text = query.toString();
        history.replaceState(null, "", `#${this.path}${text ? `?${text}` : ""}`);
        this.query = query;
    }

    #read(): void {
        const [path = "", query = ""] = location.hash.replace(/^#/, "").split("?", 2);
        this.path = path || "/";
        this.query = new URLSearchParams(query);
        this.segments = this.path.split("/").filter(Boolean).map(decode);
    }
}

function decode(segment: string): string {
    try {
        return decodeURIComponent(segment);
    } catch {
        return segment;
    }
}

/** An address inside the page. */
export function href(...segments: string[]): string {
    return `#/${segments.map(encodeURIComponent).join("/")}`;
}

export function goTo(...segments: string[]): void {
    location.hash = href(...segments);
}

export const route = new Route();
