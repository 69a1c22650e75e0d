// Run by Node with `clients/typescript`, compiled: the client, called by lines of JSON. Not a test.
//
// In: ["subscribe", [{"exchange": "NSE", "symbol": "INFY"}], "ltp"], ["orders"].
// Out: ["ltp", {...}], ["order", {...}], ["gap", {...}].

import { createInterface } from "node:readline";

const { GatewayClient } = await import(process.env.CLIENT_MODULE);

const tell = (kind, value) => process.stdout.write(`${JSON.stringify([kind, value])}\n`);
const client = new GatewayClient({
  url: process.env.OPENALGO_URL,
  apiKey: process.env.OPENALGO_API_KEY,
});
for (const event of ["status", "gap", "rejected", "problem"]) {
  client.on(event, (value) => tell(event, value));
}
let stops = [];
const calls = {
  connect: () => client.connect(),
  subscribe: (instruments, mode) =>
    stops.push(client.subscribe(instruments, mode, (tick) => tell(mode, tick))),
  orders: () => stops.push(client.onOrder((order) => tell("order", order))),
  unsubscribe: () => {
    for (const stop of stops) stop();
    stops = [];
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const [name, ...words] = JSON.parse(line);
  calls[name](...words);
}
client.close();
