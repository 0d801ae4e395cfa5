// Named checks: each says whether it held, and a walk fails if any did not.
export class Checks {
    #failed = [];
    #done = 0;

    /** Run one check. A failure is told and the walk goes on, so that one run tells all that is wrong. */
    async check(name, run) {
        const started = Date.now();
        try {
            await run();
            console.log(`ok    ${name} (${Date.now() - started} ms)`);
        } catch (error) {
            this.#failed.push(name);
            console.log(`FAIL  ${name}\n      ${String(error.message ?? error).replaceAll("\n", "\n      ")}`);
        }
        this.#done += 1;
    }

    /** Tell the sum; answers the exit code. */
    end() {
        console.log(`${this.#done - this.#failed.length} of ${this.#done} checks held`);
        for (const name of this.#failed) console.log(`failed: ${name}`);
        return this.#failed.length === 0 ? 0 : 1;
    }
}

export function assert(condition, message) {
    if (!condition) throw new Error(message);
}

/** Ask until the answer is good. */
export async function until(what, ask, timeoutMs = 15_000) {
    const end = Date.now() + timeoutMs;
    let last;
    while (Date.now() < end) {
        last = await ask();
        if (last) return last;
        await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error(`not within ${timeoutMs} ms: ${what}`);
}
