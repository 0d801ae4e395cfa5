import { watchedFetch } from "../api/client";
import { Problem } from "../api/problem";
import type { Asked } from "./series";

export type Format = "csv" | "parquet";

const ACCEPT: Record<Format, string> = { csv: "text/csv", parquet: "application/vnd.apache.parquet" };

/** Rows of one answer, and answers at most. */
const ROWS = 100_000;
const PAGES_MAX = 50;

/** Save the raw readings of a span: one CSV file, or as many Parquet files as there are pages. Answers whether it is all. */
export async function readings(asked: Asked, format: Format): Promise<boolean> {
    const name = `${asked.device}-${asked.metric}-${stamp(asked.fromMs)}-${stamp(asked.toMs)}`.replace(
        /[^\w.-]+/g,
        "_",
    );
    const base = `/v1/homes/${encodeURIComponent(asked.home)}/devices/${encodeURIComponent(asked.device)}/readings`;
    const parts: Blob[] = [];
    let cursor: string | null = null;
    for (let page = 0; page < PAGES_MAX; page += 1) {
        const query = new URLSearchParams({
            metric: asked.metric,
            from: String(Math.floor(asked.fromMs)),
            to: String(Math.ceil(asked.toMs)),
            limit: String(ROWS),
        });
        if (cursor !== null) query.set("cursor", cursor);
        const response = await got(new Request(`${base}?${query}`, { headers: { accept: ACCEPT[format] } }));
        let part = await response.blob();
        // The names of the columns stand at the head of the first page only.
        if (format === "csv" && page > 0) part = part.slice((await part.text()).indexOf("\n") + 1);
        parts.push(part);
        cursor = response.headers.get("tarn-next-cursor");
        if (cursor === null) break;
    }
    if (format === "csv") save(new Blob(parts, { type: ACCEPT.csv }), `${name}.csv`);
    else parts.forEach((part, index) => save(part, `${name}${parts.length > 1 ? `-${index + 1}` : ""}.parquet`));
    return cursor === null;
}

/** Save the answer to a question in SQL. */
export async function sql(question: string, format: Format): Promise<void> {
    const headers = { accept: ACCEPT[format], "content-type": "application/json" };
    const body = JSON.stringify({ sql: question });
    const response = await got(new Request("/v1/sql", { method: "POST", headers, body }));
    save(await response.blob(), `answer.${format}`);
}

async function got(request: Request): Promise<Response> {
    const response = await watchedFetch(request);
    if (!response.ok) throw Problem.of(response, await response.json().catch(() => undefined));
    return response;
}

function stamp(ms: number): string {
    return new Date(ms)
        .toISOString()
        .replace(/[:.]\d+Z$/, "")
        .replace(/[-:]/g, "");
}

function save(blob: Blob, name: string): void {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
