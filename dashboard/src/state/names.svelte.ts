import { answer, api, type Schemas } from "../api/client";
import { Resource } from "./resource.svelte";

type Device = Schemas["Device"];

/** The devices of a home. */
export function homeDevices(home: () => string): Resource<Device[]> {
    return new Resource(async (signal) => {
        const params = { path: { home: home() } };
        return (await answer(api.GET("/v1/homes/{home}/devices", { params, signal }))).devices;
    });
}

/** What people call devices, by their ids. Those without a name are called by their ids. */
export function namesOf(devices: Device[] | undefined): Map<string, string> {
    return new Map((devices ?? []).flatMap(({ device, name }) => (name ? [[device, name] as const] : [])));
}
