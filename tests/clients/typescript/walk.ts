// Walks through a home with a client that is typed by the committed OpenAPI documents: at its box (TARN_BOX_URL), and at a cloud
// (TARN_CLOUD_URL) that the box is linked with, as an owner of all homes (TARN_TOKEN). One line a step; the exit code is 1
// if one of them failed.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import createClient, { type Client } from "openapi-fetch";
import type { paths as BoxPaths } from "./gen/box.js";
import type { paths as CloudPaths } from "./gen/cloud.js";

/** What a box and a cloud both serve. */
type Paths = Pick<BoxPaths, keyof BoxPaths & keyof CloudPaths>;

const PAGE = 7;
const PAGES_MAX = 3;
const PATIENCE_MS = 30_000;

function setting(name: string): string {
    const value = process.env[name];
    assert.ok(value, `${name} is not set`);
    return value;
}

const home = setting("TARN_HOME");

/** The typed body of an answer that is good. */
function good<T>(answer: { data?: T; error?: unknown; response: Response }): T {
    assert.equal(answer.error, undefined);
    assert.ok(answer.data !== undefined, `${answer.response.url}: ${answer.response.status}`);
    return answer.data;
}

/** An answer that was asked for as JSON, of an operation that has text and bytes as well. */
function json<T>(answer: T): Exclude<T, string> {
    assert.notEqual(typeof answer, "string");
    return answer as Exclude<T, string>;
}

async function until(what: string, is: () => Promise<boolean>): Promise<void> {
    const end = Date.now() + PATIENCE_MS;
    while (!(await is())) {
        assert.ok(Date.now() < end, what);
        await sleep(200);
    }
}

class Walk {
    readonly url: string;
    readonly options: { baseUrl: string; headers: { Authorization: string } };
    readonly api: Client<Paths>;
    device = "";
    plug = "";

    constructor(readonly kind: string, url: string) {
        this.url = url;
        this.options = { baseUrl: url, headers: { Authorization: `Bearer ${setting("TARN_TOKEN")}` } };
        this.api = createClient<Paths>(this.options);
    }

    steps(): [string, () => Promise<void>][] {
        const { api } = this;
        const path = { home };
        const plug = () => ({ home, device: this.plug });
        const steps: [string, () => Promise<void>][] = [
            [
                "lists the home, and tells about it",
                async () => {
                    const { homes } = good(await api.GET("/v1/homes"));
                    assert.ok(homes.some((one) => one.home === home));
                    const detail = good(await api.GET("/v1/homes/{home}", { params: { path } }));
                    assert.ok(detail.devices > 10);
                },
            ],
            [
                "lists devices, those with odd ids too",
                async () => {
                    const { devices } = good(await api.GET("/v1/homes/{home}/devices", { params: { path } }));
                    const plain = devices.filter((one) => one.device.includes("/"));
                    this.device = plain.sort((a, b) => b.rows - a.rows)[0]?.device ?? "";
                    this.plug = devices.find((one) => one.name === "kitchen/plug")?.device ?? "";
                    assert.ok(this.device && this.plug);
                },
            ],
            [
                "tells what a device is, announces and has as its twin",
                async () => {
                    const detail = good(await api.GET("/v1/homes/{home}/devices/{device}", { params: { path: plug() } }));
                    const state = detail.announced?.features.find((one) => one.metric === "state");
                    assert.ok(state?.settable);
                    assert.equal(typeof detail.twin?.reported["state"], "boolean");
                },
            ],
            [
                "reads readings page by page, in the order of time",
                async () => {
                    const times: string[] = [];
                    let cursor: string | undefined;
                    for (let page = 0; page < PAGES_MAX; page++) {
                        const query = { limit: PAGE, from: "-30d", ...(cursor ? { cursor } : {}) };
                        const params = { path: { home, device: this.device }, query };
                        const told = json(good(await api.GET("/v1/homes/{home}/devices/{device}/readings", { params })));
                        times.push(...told.readings.map((one) => one.ts));
                        if (told.next_cursor === null) break;
                        cursor = told.next_cursor;
                    }
                    assert.ok(times.length > PAGE);
                    assert.deepEqual(times, [...times].sort());
                },
            ],
            [
                "reads readings as CSV",
                async () => {
                    const params = { path: { home, device: this.device }, query: { limit: PAGE } };
                    const headers = { Accept: "text/csv" };
                    const options = { params, headers, parseAs: "text" } as const;
                    const told = good(await api.GET("/v1/homes/{home}/devices/{device}/readings", options));
                    assert.match(String(told), /^ts,/);
                },
            ],
            [
                "lists gaps",
                async () => {
                    const params = { path, query: { from: "-30d" } };
                    const told = good(await api.GET("/v1/homes/{home}/gaps", { params }));
                    assert.equal(told.count, told.gaps.length);
                },
            ],
            [
                "answers SQL",
                async () => {
                    const body = { sql: "SELECT device, count(*) AS n FROM readings GROUP BY device" };
                    const told = json(good(await api.POST("/v1/sql", { body })));
                    assert.deepEqual(told.columns.map((column) => column.name), ["device", "n"]);
                    assert.ok(told.rows.length > 1);
                },
            ],
            [
                "switches a device, and follows the command until the device confirms it",
                async () => {
                    const params = { path: plug() };
                    const before = good(await api.GET("/v1/homes/{home}/devices/{device}", { params }));
                    const body = { state: !before.twin?.reported["state"] };
                    const sent = good(await api.PATCH("/v1/homes/{home}/devices/{device}/desired", { params, body }));
                    const command = sent.commands[0]?.command ?? "";
                    await until("it should be confirmed", async () => {
                        const params = { path: { home, command }, query: { wait: "20s" } };
                        const told = good(await api.GET("/v1/homes/{home}/commands/{command}", { params }));
                        return told.status === "confirmed";
                    });
                },
            ],
            [
                "makes a room, names a device, and takes both back",
                async () => {
                    const room = `Room of TypeScript at the ${this.kind}`;
                    const params = { path: { home, room } };
                    const device = { path: plug() };
                    const { twin } = good(await api.GET("/v1/homes/{home}/devices/{device}", { params: device }));
                    assert.equal(good(await api.PUT("/v1/homes/{home}/rooms/{room}", { params })).room, room);
                    good(await api.PATCH("/v1/homes/{home}/devices/{device}", { params: device, body: { room } }));
                    const { rooms } = good(await api.GET("/v1/homes/{home}", { params: { path } }));
                    assert.equal(rooms.find((one) => one.room === room)?.devices, 1);
                    const back = { room: twin?.room ?? "" };
                    good(await api.PATCH("/v1/homes/{home}/devices/{device}", { params: device, body: back }));
                    const gone = await api.DELETE("/v1/homes/{home}/rooms/{room}", { params });
                    assert.equal(gone.response.status, 204);
                },
            ],
            [
                "takes a member in, and lets it go",
                async () => {
                    const params = { path: { home, member: "grace" } };
                    const body = { name: "Grace", role: "guest" };
                    const made = good(await api.PUT("/v1/homes/{home}/members/{member}", { params, body }));
                    assert.equal(made.name, "Grace");
                    const { members } = good(await api.GET("/v1/homes/{home}/members", { params: { path } }));
                    assert.ok(members.some((one) => one.member === "grace"));
                    const gone = await api.DELETE("/v1/homes/{home}/members/{member}", { params });
                    assert.equal(gone.response.status, 204);
                },
            ],
            [
                "tells history, conflicts and boxes",
                async () => {
                    const params = { path: plug() };
                    const { changes } = good(await api.GET("/v1/homes/{home}/devices/{device}/history", { params }));
                    assert.ok(changes.length > 0);
                    good(await api.GET("/v1/homes/{home}/devices/{device}/conflicts", { params }));
                    const { boxes } = good(await api.GET("/v1/homes/{home}/boxes", { params: { path } }));
                    assert.ok(boxes.some((box) => box.online));
                },
            ],
            [
                "answers what is wrong with a problem of a known type",
                async () => {
                    const params = { path: { home: "there-is-no-such-home" } };
                    const { error, response } = await api.GET("/v1/homes/{home}", { params });
                    assert.equal(response.status, 404);
                    assert.equal(error?.type, "urn:tarn:problem:not-found");
                },
            ],
            ["makes a token that is good, and revokes it", () => this.tokens()],
            [
                "tells who changed what, and who was refused",
                () =>
                    until("the audit should tell", async () => {
                        const params = { path, query: { from: "-1h", limit: 1000 } };
                        const { entries } = good(await api.GET("/v1/homes/{home}/audit", { params }));
                        const told = entries.map((entry) => `${entry.operation} ${entry.outcome}`);
                        return told.includes("putMember done") && told.includes("putRoom refused");
                    }),
            ],
        ];
        return [...steps, this.kind === "cloud" ? this.stores() : this.mqttClients()];
    }

    async tokens(): Promise<void> {
        const { api, url } = this;
        const who = good(await api.GET("/v1/session"));
        assert.equal(who.role, "owner");
        const body = { name: `ts-${this.kind}`, role: "analyst" as const, homes: [home], expires_in: "1h" };
        const { token, record } = good(await api.POST("/v1/tokens", { body }));
        const analyst = createClient<Paths>({ baseUrl: url, headers: { Authorization: `Bearer ${token}` } });
        const params = { path: { home } };
        good(await analyst.GET("/v1/homes/{home}/devices", { params }));
        const refused = await analyst.PUT("/v1/homes/{home}/rooms/{room}", { params: { path: { home, room: "attic" } } });
        assert.equal(refused.error?.status, 403);
        const { tokens } = good(await api.GET("/v1/tokens"));
        assert.ok(tokens.some((one) => one.id === record.id));
        const gone = await api.DELETE("/v1/tokens/{token}", { params: { path: { token: record.id } } });
        assert.equal(gone.response.status, 204);
        await until("the token should be good no more", async () => {
            const { response } = await analyst.GET("/v1/homes/{home}/devices", { params });
            return response.status === 401;
        });
    }

    mqttClients(): [string, () => Promise<void>] {
        const api = createClient<BoxPaths>(this.options);
        const ask = async () => {
            const query = { connected: true, limit: 5 };
            const { clients } = good(await api.GET("/v1/broker/clients", { params: { query } }));
            assert.ok(clients[0]?.connection);
        };
        return ["lists MQTT clients", ask];
    }

    stores(): [string, () => Promise<void>] {
        const api = createClient<CloudPaths>(this.options);
        const ask = async () => {
            assert.ok(good(await api.GET("/v1/stores")).stores.length > 0);
            good(await api.GET("/v1/stores/plan"));
            good(await api.GET("/v1/stores/scrub"));
        };
        return ["lists stores, what it would move, and what was checked", ask];
    }
}

let passed = 0;
let failed = 0;
for (const kind of ["box", "cloud"]) {
    for (const [what, step] of new Walk(kind, setting(`TARN_${kind.toUpperCase()}_URL`)).steps()) {
        try {
            await step();
            passed += 1;
            console.log(`pass  ${kind}: ${what}`);
        } catch (error) {
            failed += 1;
            console.log(`FAIL  ${kind}: ${what}\n${error instanceof Error ? error.stack : error}`);
        }
    }
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed ? 1 : 0;
