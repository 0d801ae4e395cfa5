import type { Schemas } from "../api/client";
import { json, withUnit } from "../format/value";

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

/** `off, 20 %, state on`: what is wanted, with the names of metrics. */
export function valueWords(values: Record<string, unknown>): string {
    return Object.entries(values)
        .map(([name, value]) => {
            if (name === "on" && typeof value === "boolean") return json(value);
            if (name === "percent" && typeof value === "number") return withUnit(value, "%");
            return `${name} ${json(value)}`;
        })
        .join(", ");
}

/** What a part of a condition gave, as it stands in the condition. */
export function partWords(value: unknown): string {
    return typeof value === "number" || value === null ? json(value) : String(value);
}

/** How far back one looks at what rules did, or would have done. */
export const SPANS = [
    { from: "-1d", words: "a day" },
    { from: "-7d", words: "a week" },
    { from: "-30d", words: "30 days" },
];

/** Modes that homes have where nobody names others. */
export const USUAL_MODES = ["home", "away", "night", "holiday"];

/** Modes that rules and scenes know of. */
export function modesOf(actions: Action[]): string[] {
    return actions.flatMap((action) => action.mode?.mode ?? []);
}
