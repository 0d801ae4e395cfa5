import type { Schemas } from "../api/client";

export interface Plottable {
    xs: number[];
    isTime: boolean;
    lines: { label: string; values: (number | null)[] }[];
    unit: null;
}

/** More lines are a tangle. */
const LINES_MAX = 6;

const NUMBER = /^(U?Int|Float|Decimal)/;
const TIME = /^(Timestamp|Date)/;
const TEXT = /^(Utf8|LargeUtf8|Utf8View|Dictionary)/;

/**
 * An answer as lines: its first column of time, or else its first number, is x; other numbers are lines. One column of texts
 * before them makes a line of each of its words.
 */
export function plottable(answer: Schemas["SqlAnswer"]): Plottable | undefined {
    const columns = answer.columns.map((column, index) => ({ ...column, index }));
    const x = columns.find((column) => TIME.test(column.type)) ?? columns.find((column) => NUMBER.test(column.type));
    const ys = columns.filter((column) => column !== x && NUMBER.test(column.type));
    if (!x || ys.length === 0 || answer.rows.length < 2) return undefined;
    const isTime = TIME.test(x.type);
    const at = (row: unknown[]) => (isTime ? Date.parse(String(row[x.index])) / 1000 : Number(row[x.index]));
    const words = columns.find((column) => TEXT.test(column.type));
    const rows = answer.rows.filter((row) => Number.isFinite(at(row))).toSorted((a, b) => at(a) - at(b));
    const xs = [...new Set(rows.map(at))];
    const places = new Map(xs.map((value, index) => [value, index]));
    const lines = new Map<string, (number | null)[]>();
    for (const row of rows) {
        for (const y of ys) {
            const label = [words ? String(row[words.index]) : "", ys.length > 1 || !words ? y.name : ""]
                .filter(Boolean)
                .join(" ");
            let line = lines.get(label);
            if (!line) {
                if (lines.size >= LINES_MAX) continue;
                line = new Array<number | null>(xs.length).fill(null);
                lines.set(label, line);
            }
            const value = row[y.index];
            line[places.get(at(row))!] = typeof value === "number" ? value : null;
        }
    }
    return { xs, isTime, lines: [...lines].map(([label, values]) => ({ label, values })), unit: null };
}
