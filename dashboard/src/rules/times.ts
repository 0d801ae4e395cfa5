/** A time of day on some days of the week, as cron has it. */
export interface Times {
    /** `07:30` */
    at: string;
    days: string;
}

/** Days that have a name, by how cron writes them. */
export const DAYS: readonly (readonly [days: string, words: string])[] = [
    ["*", "each day"],
    ["1-5", "Monday to Friday"],
    ["0,6", "Saturday and Sunday"],
    ["1", "Mondays"],
    ["2", "Tuesdays"],
    ["3", "Wednesdays"],
    ["4", "Thursdays"],
    ["5", "Fridays"],
    ["6", "Saturdays"],
    ["0", "Sundays"],
];

/** None where the pattern says more than that. */
export function timesOf(cron: string): Times | undefined {
    const [, minute, hour, days] = /^(\d{1,2}) (\d{1,2}) \* \* (\S+)$/.exec(cron.trim()) ?? [];
    if (minute === undefined || hour === undefined || !DAYS.some(([one]) => one === days)) return undefined;
    return { at: `${hour.padStart(2, "0")}:${minute.padStart(2, "0")}`, days: days! };
}

export function cronOf({ at, days }: Times): string {
    const [hour, minute] = at.split(":");
    return `${Number(minute)} ${Number(hour)} * * ${days}`;
}
