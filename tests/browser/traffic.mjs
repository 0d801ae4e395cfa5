// What a page loaded and what it complained about.
import { gzipSync } from "node:zlib";
import { assert } from "./checks.mjs";

const BYTES_MAX = 200 * 1024;

/** What a browser says of a line that was cut on purpose, or of a login that was refused. */
const EXPECTED = /net::ERR_|Failed to load resource/;

export class Traffic {
    #assets = new Map();
    #complaints = [];
    #reading = [];

    constructor(page) {
        page.on("response", (response) => {
            const { pathname } = new URL(response.url());
            if (pathname !== "/" && !pathname.startsWith("/assets/")) return;
            const read = response.body().then((body) => this.#assets.set(pathname, gzipSync(body).length));
            // A response of before a reload has no body any more.
            this.#reading.push(read.catch(() => undefined));
        });
        page.on("console", (message) => {
            if (message.type() === "error" && !EXPECTED.test(message.text())) this.#complaints.push(message.text());
        });
        page.on("pageerror", (error) => this.#complaints.push(String(error.stack ?? error)));
    }

    async check(checks, width) {
        await Promise.all(this.#reading);
        const bytes = [...this.#assets.values()].reduce((sum, size) => sum + size, 0);
        await checks.check(`all that was loaded at ${width} px is below 200 KiB compressed`, () => {
            assert(bytes > 0, "nothing was seen");
            assert(bytes < BYTES_MAX, `${bytes} bytes`);
        });
        await checks.check(`the browser complained of nothing at ${width} px`, () => {
            assert(this.#complaints.length === 0, this.#complaints.join("\n"));
        });
    }
}
