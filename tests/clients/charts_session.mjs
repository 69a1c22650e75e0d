// Run by Node with npm's openalgo-charts: its feed, called by lines of JSON. Not a test.
//
// In: ["subscribe", "LTP", "INFY", "NSE"]. Out: ["ltp", {...}], ["depth", {...}], ["state", "open"].

import { createInterface } from "node:readline";

const { OpenAlgoWsFeed } = await import(process.env.CHARTS_MODULE);

const tell = (kind, value) => process.stdout.write(`${JSON.stringify([kind, value])}\n`);
const feed = new OpenAlgoWsFeed({
  url: process.env.OPENALGO_URL,
  apiKey: process.env.OPENALGO_API_KEY,
  reconnect: { baseDelayMs: 200, maxDelayMs: 1000 },
});
feed.onState((state) => tell("state", state));
feed.onControl((message) => tell("control", message));
feed.onLtp((event) => tell("ltp", event));
feed.onDepth((symbol, exchange, depth) => tell("depth", { symbol, exchange, depth }));
feed.onOrderUpdate((event) => tell("order", event));

for await (const line of createInterface({ input: process.stdin })) {
  const [name, ...words] = JSON.parse(line);
  feed[name](...words);
}
feed.close();
