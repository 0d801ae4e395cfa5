import type { Schemas } from "../api/client";

type Rule = Schemas["Rule"];

/** What a new rule begins as. */
export const EMPTY: Rule = {
    name: "",
    when: [{ reading: { device: "", metric: "" } }],
    if: "",
    then: [{ notify: { title: "" } }],
};

/** The rule without what says nothing. */
export function tidied({ name, enabled, when, if: condition, until, for: hold, then, cooldown, priority }: Rule): Rule {
    const said = Object.entries({ if: condition, until, for: hold, cooldown }).flatMap(([key, text]) => {
        const words = text?.trim();
        return words ? [[key, words] as const] : [];
    });
    return {
        name: name.trim(),
        ...(enabled === false ? { enabled } : {}),
        when,
        ...Object.fromEntries(said),
        then,
        ...(priority ? { priority } : {}),
    };
}
