import type { Component } from "svelte";

interface Page {
    component: Component<Record<string, string>>;
    props: Record<string, string>;
}

type Load = () => Promise<{ default: unknown }>;

const WITHIN_HOME: Record<string, Load> = {
    scenes: () => import("./Scenes.svelte"),
    insights: () => import("./Insights.svelte"),
    alarms: () => import("./Alarms.svelte"),
    rules: () => import("./Rules.svelte"),
    energy: () => import("./Energy.svelte"),
    boxes: () => import("./Boxes.svelte"),
    audit: () => import("./Audit.svelte"),
};

const BESIDE_HOMES: Record<string, Load> = {
    stores: () => import("./Stores.svelte"),
    clients: () => import("./Clients.svelte"),
    sql: () => import("./Sql.svelte"),
    tokens: () => import("./Tokens.svelte"),
};

/** The page of an address. Each is loaded when it is first shown. */
export async function findPage(segments: string[]): Promise<Page> {
    const [first, home, part, device] = segments;
    if (first === undefined) return load(() => import("./Homes.svelte"), {});
    if (first === "homes" && home !== undefined) {
        if (part === undefined) return load(() => import("./Overview.svelte"), { home });
        if (part === "devices" && device !== undefined) return load(() => import("./Device.svelte"), { home, device });
        const within = WITHIN_HOME[part];
        if (within) return load(within, { home });
    }
    const beside = BESIDE_HOMES[first];
    if (beside && segments.length === 1) return load(beside, {});
    return load(() => import("./NotFound.svelte"), {});
}

async function load(page: Load, props: Record<string, string>): Promise<Page> {
    return { component: (await page()).default as Page["component"], props };
}
