// Tests of pure modules run without a page; only its address is asked for.
Object.defineProperty(globalThis, "location", { value: new URL("http://localhost/") });
