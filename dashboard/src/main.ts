import { mount } from "svelte";
import App from "./App.svelte";
import { live } from "./state/live.svelte";
import { now } from "./state/now.svelte";
import { route } from "./state/route.svelte";
import { service } from "./state/service.svelte";
import { session } from "./state/session.svelte";
import { theme } from "./state/theme.svelte";
import "./style/tokens.css";
import "./style/base.css";

theme.start();
route.start();
now.start();
service.start();
live.start();
void session.start();

const target = document.getElementById("app");
if (target) mount(App, { target });
