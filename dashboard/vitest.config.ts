import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

export default defineConfig({
    plugins: [svelte()],
    // Modules name the address of the page when they are loaded.
    test: { setupFiles: ["./test/page.ts"] },
});
