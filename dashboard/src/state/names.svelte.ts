import { answer, api } from "../api/client";
import { Resource } from "./resource.svelte";

/** What people call the devices of a home, by their ids. Where it cannot be read they are called by their ids. */
export function deviceNames(home: () => string): Resource<Map<string, string>> {
    return new Resource(async (signal) => {
        const params = { path: { home: home() } };
        const { devices } = await answer(api.GET("/v1/homes/{home}/devices", { params, signal }));
        return new Map(devices.flatMap(({ device, name }) => (name ? [[device, name] as const] : [])));
    });
}
