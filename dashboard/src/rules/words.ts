import type { Schemas } from "../api/client";
import { json } from "../format/value";

type Action = Schemas["RuleAction"];

/** Names of devices by their ids, as far as they are known. */
export type DeviceNames = ReadonlyMap<string, string>;

const UNNAMED: DeviceNames = new Map();

/** What a rule or a scene does, in words. */
export function actionWords(action: Action, names: DeviceNames = UNNAMED): string {
    const named = (device: string) => names.get(device) ?? device;
    if (action.set) return `${named(action.set.device)}: ${valueWords(action.set.values)}`;
    if (action.call) return `${named(action.call.device)}, now or not at all: ${valueWords(action.call.values)}`;
    if (action.group) {
        const { component, room, values } = action.group;
        return `every ${component.replaceAll("_", " ")}${room ? ` in ${room}` : ""}: ${valueWords(values)}`;
    }
    if (action.scene) return `start the scene ${action.scene.scene}`;
    if (action.mode) return `mode ${action.mode.mode}`;
    if (action.raise) return `raise the alarm ${action.raise.alarm}: ${action.raise.message}`;
    if (action.clear) return `clear the alarm ${action.clear.alarm}`;
    if (action.notify) return `tell people: ${[action.notify.title, action.notify.message].filter(Boolean).join(": ")}`;
    if (action.publish) return `publish to ${action.publish.topic}`;
    return JSON.stringify(action);
}

/** `on off, percent 20`: names with what they are set to. */
export function valueWords(values: Record<string, unknown>): string {
    return Object.entries(values)
        .map(([name, value]) => `${name} ${json(value)}`)
        .join(", ");
}

/** Modes that rules and scenes know of. */
export function modesOf(actions: Action[]): string[] {
    return actions.flatMap((action) => action.mode?.mode ?? []);
}
