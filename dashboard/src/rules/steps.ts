/** A trigger or an action of a rule: its kind is its only key, what belongs to it stands behind. */
export type Step = Record<string, unknown>;

/** What a home has that may stand in a field. */
export type Suggestion = "rooms" | "components" | "modes" | "scenes" | "alarms" | "members";

/** One thing that is said of a step. */
export interface Field {
    name: string;
    label: string;
    takes: "device" | "metric" | "values" | "scalar" | "text" | "choice" | "flag" | "times";
    /** Of a choice. */
    options?: readonly string[];
    suggest?: Suggestion;
    isOptional?: boolean;
    example?: string;
}

/** A kind of trigger or action. */
export interface Kind {
    kind: string;
    label: string;
    fields: readonly Field[];
    /** What stands behind the kind is the one field itself. */
    isPlain?: boolean;
}

const device: Field = { name: "device", label: "Device", takes: "device" };
const metric: Field = { name: "metric", label: "Metric", takes: "metric" };
const values: Field = { name: "values", label: "Values", takes: "values" };
const alarm: Field = { name: "alarm", label: "Alarm", takes: "text", suggest: "alarms", example: "leak" };

export const TRIGGERS: readonly Kind[] = [
    { kind: "reading", label: "a reading comes", fields: [device, metric] },
    {
        kind: "change",
        label: "a value changes",
        fields: [
            device,
            metric,
            { name: "to", label: "Only to", takes: "scalar", isOptional: true },
            { name: "from", label: "Only from", takes: "scalar", isOptional: true },
        ],
    },
    { kind: "schedule", label: "it is a time of day", fields: [{ name: "cron", label: "At", takes: "times" }] },
    {
        kind: "every",
        label: "some time has passed",
        fields: [{ name: "every", label: "Every", takes: "text", example: "5m" }],
        isPlain: true,
    },
    {
        kind: "sun",
        label: "the sun rises or sets",
        fields: [
            { name: "event", label: "Which", takes: "choice", options: ["sunrise", "sunset"] },
            { name: "offset", label: "Before or after", takes: "text", isOptional: true, example: "-15m" },
        ],
    },
    {
        kind: "mode",
        label: "the mode changes",
        fields: [{ name: "to", label: "To", takes: "text", suggest: "modes", example: "night" }],
    },
    {
        kind: "presence",
        label: "somebody comes or goes",
        fields: [
            { name: "is", label: "Is now", takes: "choice", options: ["home", "away"] },
            { name: "member", label: "Who", takes: "text", suggest: "members", isOptional: true, example: "anybody" },
        ],
    },
    {
        kind: "alarm",
        label: "an alarm changes",
        fields: [
            alarm,
            { name: "is", label: "Is now", takes: "choice", options: ["raised", "acknowledged", "cleared"] },
        ],
    },
];

/** What scenes do. */
export const SCENE_ACTIONS: readonly Kind[] = [
    { kind: "set", label: "set a device", fields: [device, values] },
    { kind: "call", label: "set a device, now or not at all", fields: [device, values] },
    {
        kind: "group",
        label: "set all of a kind",
        fields: [
            { name: "component", label: "Kind", takes: "text", suggest: "components", example: "light" },
            { name: "room", label: "Room", takes: "text", suggest: "rooms", isOptional: true, example: "everywhere" },
            values,
        ],
    },
    {
        kind: "mode",
        label: "change the mode",
        fields: [{ name: "mode", label: "To", takes: "text", suggest: "modes", example: "night" }],
    },
    {
        kind: "notify",
        label: "tell people",
        fields: [
            { name: "title", label: "Title", takes: "text" },
            { name: "message", label: "More words", takes: "text", isOptional: true },
        ],
    },
    {
        kind: "publish",
        label: "publish a message",
        fields: [
            { name: "topic", label: "Topic", takes: "text", example: "den/display" },
            { name: "payload", label: "Payload", takes: "scalar" },
            { name: "retain", label: "The broker keeps it", takes: "flag", isOptional: true },
        ],
    },
];

/** What rules do. */
export const ACTIONS: readonly Kind[] = [
    ...SCENE_ACTIONS,
    {
        kind: "raise",
        label: "raise an alarm",
        fields: [
            alarm,
            { name: "severity", label: "Severity", takes: "choice", options: ["warning", "critical", "info"] },
            {
                name: "class",
                label: "What kind of alarm",
                takes: "choice",
                options: ["smoke", "gas", "water", "intrusion", "device", "health", "energy", "climate"],
                isOptional: true,
            },
            { name: "message", label: "Message", takes: "text" },
        ],
    },
    { kind: "clear", label: "clear an alarm", fields: [alarm] },
    {
        kind: "scene",
        label: "start a scene",
        fields: [{ name: "scene", label: "Scene", takes: "text", suggest: "scenes" }],
    },
];

/** What the values of a group may be called. */
export const GROUP_VALUES = ["on", "percent", "option", "number"];

/** The kind of a step; none for one that this page does not know. */
export function kindOf(step: Step, kinds: readonly Kind[]): Kind | undefined {
    return kinds.find(({ kind }) => step[kind] !== undefined);
}

/** What stands in a field. */
export function valueIn(step: Step, kind: Kind, field: Field): unknown {
    const within = step[kind.kind];
    return kind.isPlain ? within : (within as Step)[field.name];
}

/** The step with another value in a field; without the field where there is none. A metric goes with its device. */
export function withValue(step: Step, kind: Kind, field: Field, value: unknown): Step {
    if (kind.isPlain) return { [kind.kind]: value };
    const within: Step = { ...(step[kind.kind] as Step), [field.name]: value };
    if (value === undefined) delete within[field.name];
    if (field.takes === "device") {
        if ("metric" in within) within.metric = "";
        if ("values" in within) within.values = {};
    }
    return { [kind.kind]: within };
}

/** A step of this kind of which nothing is said yet. */
export function begun(kind: Kind): Step {
    const nothing = (field: Field): unknown => {
        if (field.takes === "values") return {};
        if (field.takes === "choice") return field.options?.[0];
        return field.takes === "times" ? "0 7 * * *" : "";
    };
    const [only] = kind.fields;
    if (kind.isPlain && only) return { [kind.kind]: only.example ?? nothing(only) };
    const said = kind.fields.filter(({ isOptional }) => !isOptional);
    return { [kind.kind]: Object.fromEntries(said.map((field) => [field.name, nothing(field)])) };
}

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/** `on` and `off` are a switch, what looks like a number is one, `{…}` and `[…]` are JSON, all else is a word. */
export function scalarOf(text: string): unknown {
    const word = text.trim();
    if (word === "on" || word === "true") return true;
    if (word === "off" || word === "false") return false;
    if (NUMBER.test(word)) return Number(word);
    if (/^[[{"].*[\]}"]$/s.test(word) && !word.startsWith("{{")) {
        try {
            return JSON.parse(word);
        } catch {
            return text;
        }
    }
    return text;
}

/** What stands in the field of such a value; read again it is the same. */
export function scalarText(value: unknown): string {
    if (typeof value === "boolean") return value ? "on" : "off";
    if (typeof value !== "string") return value == null ? "" : JSON.stringify(value);
    return scalarOf(value) === value ? value : JSON.stringify(value);
}
