import type { Schemas } from "../api/client";
import { namesOf } from "../state/names.svelte";
import type { Suggestion } from "./steps";
import { modesOf, USUAL_MODES } from "./words";

/** What a home has, for who writes rules and scenes. */
export interface There {
    home: string;
    devices: Schemas["Device"][];
    /** By ids. */
    names: ReadonlyMap<string, string>;
    suggest: Record<Suggestion, string[]>;
}

/** Kinds of things that many have. */
const COMMON_COMPONENTS = ["light", "switch", "cover", "climate", "fan", "lock", "media_player", "siren", "valve"];

export function whatIsThere(
    home: string,
    devices: Schemas["Device"][],
    rules: Schemas["StoredRule"][],
    scenes: Schemas["StoredScene"][],
    members: string[] = [],
): There {
    const definitions = rules.map(({ definition }) => definition);
    const actions = [...definitions, ...scenes].flatMap(({ then }) => then);
    const triggers = definitions.flatMap(({ when }) => when);
    const modes = [...modesOf(actions), ...triggers.flatMap(({ mode }) => mode?.to ?? [])];
    return {
        home,
        devices: devices.toSorted((a, b) => (a.name ?? a.device).localeCompare(b.name ?? b.device)),
        names: namesOf(devices),
        suggest: {
            rooms: alike(devices.flatMap(({ room }) => room ?? [])),
            components: COMMON_COMPONENTS,
            modes: alike([...USUAL_MODES, ...modes]),
            scenes: scenes.map(({ scene }) => scene),
            alarms: alike(actions.flatMap(({ raise }) => raise?.alarm ?? [])),
            members: alike(members),
        },
    };
}

function alike(words: string[]): string[] {
    return [...new Set(words)].sort();
}
