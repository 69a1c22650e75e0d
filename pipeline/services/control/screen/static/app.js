// The page's parts, put together.

import { Charts } from "./charts.js";
import { Connections } from "./connections.js";
import { Console } from "./console.js";
import { Detail } from "./detail.js";
import { Gateway } from "./gateway.js";
import { Instruments } from "./instruments.js";
import { changed, startPainting } from "./pace.js";
import { Plan } from "./plan.js";
import { Prices } from "./prices.js";
import { State } from "./state.js";
import { Summary } from "./tiles.js";
import { startTheme } from "./theme.js";
import { TimeLine } from "./timeline.js";
import { WatchList } from "./watch.js";

const state = new State();
const prices = new Prices();
const gateway = new Gateway((message) => prices.take(message));
const instruments = new Instruments();

startTheme();
new Summary(state, gateway);
const watch = new WatchList(instruments, prices, gateway);
new Detail(watch, prices, gateway);
new Connections(state);
new Charts(state);
new TimeLine(state);
new Plan(state);
new Console(watch);

state.addEventListener("document", () => {
  if (state.document.instance) watch.open(state.document.instance.name);
  instruments.follow(state.document);
});
gateway.addEventListener("phase", () => gateway.phase === "expired" && state.again());
startPainting();
state.start();
gateway.start();
changed();
