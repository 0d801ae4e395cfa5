import createClient from "openapi-fetch";
import type { paths } from "./gen/box.js";

const { TARN_BOX_URL = "", TARN_TOKEN = "", TARN_HOME: home = "" } = process.env;
const api = createClient<paths>({ baseUrl: TARN_BOX_URL, headers: { Authorization: `Bearer ${TARN_TOKEN}` } });

const { data, error } = await api.GET("/v1/homes/{home}/devices", { params: { path: { home } } });
if (error) throw new Error(error.detail);
for (const device of data.devices) console.log(device.name ?? device.device, device.online, device.room);
