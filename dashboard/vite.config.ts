import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

// The service that answers while the page is being developed.
const service = process.env.TARN_URL ?? "http://127.0.0.1:8080";
const proxy = { "/v1": service, "/healthz": service };

export default defineConfig({
    plugins: [svelte()],
    build: {
        target: ["chrome123", "firefox128", "safari17.5"],
        // Under `default-src 'self'` nothing may come from a data: address.
        assetsInlineLimit: 0,
        reportCompressedSize: true,
    },
    server: { proxy },
    preview: { proxy, headers: { "Content-Security-Policy": "default-src 'self'" } },
});
