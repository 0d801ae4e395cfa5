/** A clock for ages on the page. It need not tick faster than one reads. */
class Now {
    ms = $state(Date.now());

    start(): void {
        setInterval(() => {
            if (!document.hidden) this.ms = Date.now();
        }, 2_000);
    }
}

export const now = new Now();
