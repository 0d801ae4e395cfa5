import createClient from "openapi-fetch";
import { service } from "../state/service.svelte";
import type { components as CloudComponents, paths as Cloud } from "./cloud.gen";
import type { components as EdgeComponents, paths as Edge } from "./edge.gen";
import { Problem } from "./problem";

/** What either service may offer; each page copes with an operation that the one at hand does not have. */
type Paths = Cloud & Omit<Edge, keyof Cloud>;

export type Schemas = CloudComponents["schemas"] & EdgeComponents["schemas"];

/** No answer within this time is none at all. */
const ANSWER_TIMEOUT_MS = 60_000;

const READS = new Set(["GET", "HEAD"]);

let csrf = "";

/** The session's word that a change was asked for by this page and by no other. */
export function setCsrf(value: string): void {
    csrf = value;
}

let unauthenticated = () => {};

/** What to do when an answer says that there is no session any more. */
export function onUnauthenticated(then: () => void): void {
    unauthenticated = then;
}

/** `fetch` that keeps count of whether the service answers. */
export async function watchedFetch(request: Request): Promise<Response> {
    if (!READS.has(request.method) && csrf) request.headers.set("tarn-csrf", csrf);
    const signal = AbortSignal.any([request.signal, AbortSignal.timeout(ANSWER_TIMEOUT_MS)]);
    let response: Response;
    try {
        response = await fetch(request, { signal, credentials: "same-origin" });
    } catch (error) {
        if (request.signal.aborted) throw error;
        service.missed();
        throw Problem.noAnswer();
    }
    service.heard(response);
    if (response.status === 401) unauthenticated();
    return response;
}

// Values that repeat in a query are written as the document says: `metric=a&metric=b`.
export const api = createClient<Paths>({ baseUrl: location.origin, fetch: watchedFetch });

/** The body of an answer, or the problem as an error. */
export async function answer<T>(call: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
    const { data, error, response } = await call;
    if (!response.ok) throw Problem.of(response, error);
    return data as T;
}

/** The same for an answer whose `ETag` is needed later. */
export async function tagged<T>(
    call: Promise<{ data?: T; error?: unknown; response: Response }>,
): Promise<{ body: T; etag: string | null }> {
    const { data, error, response } = await call;
    if (!response.ok) throw Problem.of(response, error);
    return { body: data as T, etag: response.headers.get("etag") };
}
