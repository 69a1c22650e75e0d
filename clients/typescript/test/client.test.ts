import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";

import { type Depth, type Gap, GatewayClient, type Rejection, type Status } from "../src/index.js";
import { FakeGateway, until } from "./fake.js";

const LIMIT = { timeout: 30_000 };
const INFY = { exchange: "NSE", symbol: "INFY" };
const NIFTY = { exchange: "NSE_INDEX", symbol: "NIFTY" };

function start(t: TestContext, gateway = new FakeGateway(), options: object = {}) {
  const client = new GatewayClient({ ...gateway.options, ...options });
  t.after(() => client.close());
  const gaps: Gap[] = [];
  const statuses: Status[] = [];
  const rejections: Rejection[] = [];
  client.on("gap", (gap) => gaps.push(gap));
  client.on("status", (status) => statuses.push(status));
  client.on("rejected", (rejection) => rejections.push(rejection));
  client.connect();
  const live = () => until(() => client.status === "live");
  return { gateway, client, gaps, statuses, rejections, live };
}

test("authenticates first, and says everything wanted in one message a mode", LIMIT, async (t) => {
  const { client, gateway, statuses, live } = start(t);
  client.subscribe([INFY, NIFTY], "ltp", () => undefined);
  client.subscribe([INFY], "depth", () => undefined);
  await live();
  assert.deepEqual(gateway.heard[0], { action: "authenticate", api_key: "id.secret" });
  const said = gateway.of("subscribe");
  assert.deepEqual(said.map(({ mode }) => mode), [1, 3]);
  assert.deepEqual(said[0]?.symbols, [{ ...INFY, mode: 1 }, { ...NIFTY, mode: 1 }]);
  assert.deepEqual(statuses, ["connecting", "live"]);
});

test("calls back with the mode that was asked for, and with no other", LIMIT, async (t) => {
  const { client, gateway, live } = start(t);
  const found: [string, number][] = [];
  client.subscribe([INFY], "ltp", (tick) => found.push(["ltp", tick.ltp]));
  client.subscribe([INFY], "quote", (tick) => found.push(["quote", tick.open ?? 0]));
  client.subscribe([INFY], "depth", (tick) => found.push(["depth", tick.depth?.buy[0]?.price ?? 0]));
  await live();
  gateway.tick("NSE", "INFY", 1, { ltp: 1573.7 });
  gateway.tick("NSE", "INFY", 2, { ltp: 1573.7, open: 1570 });
  const book = { buy: [{ price: 1573.5, quantity: 5, orders: 1 }], sell: [] };
  gateway.tick("NSE", "INFY", 3, { ltp: 1573.7, depth: book });
  gateway.tick("NSE", "TCS", 1, { ltp: 1 });
  gateway.tick("NSE", "INFY", 9, { ltp: 1 });
  assert.deepEqual(found, [["ltp", 1573.7], ["quote", 1570], ["depth", 1573.5]]);
});

test("equal wishes are one subscription, ended with the last of them", LIMIT, async (t) => {
  const { client, gateway, live } = start(t);
  await live();
  let count = 0;
  const onTick = () => (count += 1);
  const stops = [client.subscribe([INFY], "ltp", onTick), client.subscribe([INFY], "ltp", onTick)];
  await until(() => gateway.of("subscribe").length === 1);
  gateway.tick("NSE", "INFY", 1, { ltp: 1 });
  assert.equal(count, 2);
  stops[0]?.();
  stops[0]?.();
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(gateway.of("unsubscribe").length, 0);
  stops[1]?.();
  await until(() => gateway.of("unsubscribe").length === 1);
  assert.deepEqual(gateway.of("unsubscribe")[0]?.symbols, [{ ...INFY, mode: 1 }]);
  gateway.tick("NSE", "INFY", 1, { ltp: 1 });
  assert.equal(count, 2);
});

test("what is wanted and given up before it was said is not said", LIMIT, async (t) => {
  const { client, gateway, live } = start(t);
  await live();
  client.subscribe([INFY], "ltp", () => undefined)();
  const stop = client.subscribe([NIFTY], "ltp", () => undefined);
  await until(() => gateway.of("subscribe").length === 1);
  stop();
  client.subscribe([NIFTY], "ltp", () => undefined);
  client.subscribe([INFY], "quote", () => undefined);
  await until(() => gateway.of("subscribe").length === 2);
  assert.deepEqual(gateway.of("subscribe")[1]?.symbols, [{ ...INFY, mode: 2 }]);
  assert.equal(gateway.of("unsubscribe").length, 0);
});

test("thousands go out in messages of a thousand", LIMIT, async (t) => {
  const { client, gateway, live } = start(t);
  await live();
  const many = Array.from({ length: 2500 }, (_, i) => ({ exchange: "NSE", symbol: `S${i}` }));
  client.subscribe(many, "quote", () => undefined);
  await until(() => gateway.of("subscribe").length === 3);
  assert.deepEqual(gateway.of("subscribe").map(({ symbols }) => symbols?.length), [1000, 1000, 500]);
});

test("comes back, says all of it again, and tells the gap with both ends", LIMIT, async (t) => {
  const { client, gateway, gaps, live } = start(t);
  const found: number[] = [];
  client.subscribe([INFY], "ltp", (tick) => found.push(tick.ltp));
  client.onOrder(() => undefined);
  await live();
  const before = Date.now();
  gateway.tick("NSE", "INFY", 1, { ltp: 1 });
  gateway.holdsAcks = true;
  gateway.socket.cut(1013, "too slow");
  await until(() => gateway.sockets.length === 2);
  await live();
  assert.deepEqual(gateway.of("subscribe").at(-1)?.symbols, [{ ...INFY, mode: 1 }]);
  assert.equal(gateway.of("subscribe_orders").length, 2);
  assert.deepEqual(gaps.map(({ code }) => code), [], "the gap lasts until the gateway has taken the wishes");
  gateway.releaseAcks();
  const [gap] = gaps;
  assert.ok(gap !== undefined && gaps.length === 1);
  assert.deepEqual([gap.code, gap.reason], [1013, "too slow"]);
  assert.ok(gap.fromMs >= before && gap.toMs >= gap.fromMs && gap.toMs <= Date.now());
  gateway.tick("NSE", "INFY", 1, { ltp: 2 });
  assert.deepEqual(found, [1, 2]);
});

test("several failures in a row are one gap, and the pauses grow", LIMIT, async (t) => {
  const { client, gateway, gaps, statuses, live } = start(t);
  await live();
  gateway.mute = true;
  gateway.socket.cut(1006);
  for (const count of [2, 3, 4]) {
    await until(() => gateway.sockets.length === count);
    gateway.socket.cut(1006);
  }
  gateway.mute = false;
  await live();
  assert.equal(gaps.length, 1);
  assert.deepEqual(statuses.filter((status) => status === "live").length, 2);
  assert.equal(client.status, "live");
});

test("a bad key ends it at once, and is not tried again", LIMIT, async (t) => {
  const gateway = new FakeGateway();
  gateway.key = "another";
  const { client } = start(t, gateway);
  const problems: string[] = [];
  client.on("problem", ({ code }) => problems.push(code));
  await until(() => client.status === "refused");
  assert.deepEqual(problems, ["AUTHENTICATION_ERROR"]);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(gateway.sockets.length, 1);
  assert.equal(gateway.socket.closed, true);
});

test("a key is asked for on each connection", LIMIT, async (t) => {
  const gateway = new FakeGateway();
  let count = 0;
  const apiKey = async () => {
    count += 1;
    if (count === 1) throw new Error("not yet");
    return gateway.key;
  };
  const { client, live } = start(t, gateway, { apiKey });
  await live();
  gateway.socket.cut(1006);
  await until(() => gateway.sockets.length === 2);
  await live();
  assert.equal(count, 3);
  assert.equal(client.status, "live");
});

test("a key that does not come is not waited for, and may come too late", LIMIT, async (t) => {
  const gateway = new FakeGateway();
  const late: ((key: string) => void)[] = [];
  const apiKey = () =>
    late.length === 0 ? new Promise<string>((resolve) => late.push(resolve)) : gateway.key;
  const { live } = start(t, gateway, { apiKey, connectWithinMs: 20 });
  await live();
  late[0]?.("another");
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(gateway.sockets.length, 1);
  assert.equal(gateway.of("authenticate").length, 1);
});

test("what is the matter with the gateway, not with the key, is tried again", LIMIT, async (t) => {
  const gateway = new FakeGateway();
  gateway.authErrors = ["SERVER_ERROR", "BROKER_ERROR"];
  const { client, live } = start(t, gateway, { connectWithinMs: 3_600_000 });
  const problems: string[] = [];
  client.on("problem", ({ code }) => problems.push(code));
  await live();
  assert.deepEqual(problems, ["SERVER_ERROR", "BROKER_ERROR"]);
  assert.equal(gateway.sockets.length, 3);
});

test("an address that cannot be opened is told, and tried again", LIMIT, async (t) => {
  const gateway = new FakeGateway();
  let count = 0;
  const open = () => {
    count += 1;
    if (count === 1) throw new SyntaxError("no such scheme");
    return gateway.open() as never;
  };
  const client = new GatewayClient({ ...gateway.options, open });
  t.after(() => client.close());
  const problems: string[] = [];
  client.on("problem", ({ code }) => problems.push(code));
  client.connect();
  await until(() => client.status === "live");
  assert.deepEqual(problems, ["NO_SOCKET"]);
});

test("a connection that says nothing more is found and replaced", LIMIT, async (t) => {
  const options = { pingAfterMs: 10, pongWithinMs: 10, connectWithinMs: 20 };
  const { gateway, gaps, live } = start(t, new FakeGateway(), options);
  await live();
  await until(() => gateway.of("ping").length >= 2);
  assert.equal(gateway.sockets.length, 1, "a gateway that answers pings is alive");
  gateway.mute = true;
  await until(() => gateway.sockets.length >= 2);
  gateway.mute = false;
  await live();
  assert.equal(gaps[0]?.reason, "silent");
});

test("a pong has its time from the ping on, however long nobody looked", LIMIT, async (t) => {
  let skewMs = 0;
  const { now } = Date;
  t.mock.method(Date, "now", () => now.call(Date) + skewMs);
  const { client, gateway, live } = start(t, new FakeGateway(), { pingAfterMs: 20 });
  await live();
  gateway.mute = true;
  skewMs = 60_000; // as of a computer that slept
  await until(() => gateway.of("ping").length === 1);
  await new Promise((resolve) => setTimeout(resolve, 50));
  gateway.mute = false;
  gateway.socket.say({ type: "pong" });
  await until(() => gateway.of("ping").length === 2);
  assert.equal(gateway.sockets.length, 1);
  assert.equal(client.status, "live");
});

test("what the gateway does not have is told, with its words", LIMIT, async (t) => {
  const gateway = new FakeGateway();
  gateway.unknown.add("NSE:XXX");
  const { client, rejections, live } = start(t, gateway);
  const instrument = { exchange: "NSE", symbol: "XXX" };
  client.subscribe([INFY, instrument], "quote", () => undefined);
  await live();
  await until(() => rejections.length === 1);
  const message = "Token not found for XXX on NSE";
  assert.deepEqual(rejections, [{ instrument, mode: "quote", message }]);
});

test("what the pool has no place for is told, and no longer when it has", LIMIT, async (t) => {
  const { client, gateway, rejections, live } = start(t);
  client.subscribe([INFY, NIFTY], "quote", () => undefined);
  await live();
  await until(() => gateway.of("subscribe_status").length === 1);
  const item = { ...INFY, status: "error", message: "full" };
  gateway.socket.say({ type: "status", status: "partial", subscriptions: [item] });
  assert.deepEqual(rejections, [{ instrument: INFY, mode: "quote", message: "full" }]);
  assert.equal(client.refusal(INFY, "quote"), "full");
  gateway.socket.say({ type: "status", subscriptions: [{ ...INFY, status: "success" }] });
  assert.equal(client.refusal(INFY, "quote"), undefined);
  assert.equal(rejections.length, 1);
});

test("a gateway that tells of no places is as good", LIMIT, async (t) => {
  const { client, gateway, live } = start(t);
  const problems: string[] = [];
  client.on("problem", ({ code }) => problems.push(code));
  await live();
  await until(() => gateway.of("subscribe_status").length === 1);
  const { request_id } = gateway.of("subscribe_status")[0] ?? {};
  gateway.socket.say({ status: "error", code: "INVALID_ACTION", message: "", request_id });
  assert.deepEqual(problems, []);
});

test("what is known of an instrument can be asked for while it is wanted", LIMIT, async (t) => {
  const gateway = new FakeGateway();
  gateway.unknown.add("NSE:XXX");
  const { client, rejections, live } = start(t, gateway);
  const other = { exchange: "NSE", symbol: "XXX" };
  const stop = client.subscribe([INFY, other], "quote", () => undefined);
  await live();
  assert.equal(client.latest(INFY, "quote"), undefined);
  gateway.tick("NSE", "INFY", 2, { ltp: 7 });
  await until(() => rejections.length === 1);
  assert.equal(client.latest(INFY, "quote")?.ltp, 7);
  assert.equal(client.latest(INFY, "ltp"), undefined);
  assert.equal(client.refusal(INFY, "quote"), undefined);
  assert.match(client.refusal(other, "quote") ?? "", /XXX/);
  gateway.tick("NSE", "XXX", 2, { ltp: 1 });
  assert.equal(client.refusal(other, "quote"), undefined, "it streams after all");
  stop();
  assert.equal(client.latest(INFY, "quote"), undefined);
});

test("a list that changes after it was given changes nothing", LIMIT, async (t) => {
  const { client, gateway, live } = start(t);
  await live();
  const list = [INFY, NIFTY];
  const stop = client.subscribe(list, "ltp", () => undefined);
  await until(() => gateway.of("subscribe").length === 1);
  list.length = 0;
  stop();
  await until(() => gateway.of("unsubscribe").length === 1);
  assert.equal(gateway.of("unsubscribe")[0]?.symbols?.length, 2);
});

test("a gap lasts until order updates are wanted again, too", LIMIT, async (t) => {
  const { client, gateway, gaps, live } = start(t);
  client.onOrder(() => undefined);
  await live();
  gateway.holdsAcks = true;
  gateway.socket.cut(1006);
  await until(() => gateway.of("subscribe_orders").length === 2);
  assert.equal(gaps.length, 0);
  gateway.releaseAcks();
  assert.equal(gaps.length, 1);
});

test("order updates come while somebody wants them", LIMIT, async (t) => {
  const { client, gateway, live } = start(t);
  await live();
  const found: string[] = [];
  const stop = client.onOrder(({ orderid, order_status }) => found.push(`${orderid} ${order_status}`));
  await until(() => gateway.of("subscribe_orders").length === 1);
  gateway.socket.say({ type: "order_update", orderid: "7", order_status: "complete" });
  stop();
  await until(() => gateway.of("unsubscribe_orders").length === 1);
  gateway.socket.say({ type: "order_update", orderid: "8", order_status: "open" });
  assert.deepEqual(found, ["7 complete"]);
});

test("unknown messages, errors and broken text end nothing", LIMIT, async (t) => {
  const { client, gateway, live } = start(t);
  const problems: string[] = [];
  client.on("problem", ({ code }) => problems.push(code));
  let found: Depth | undefined;
  client.subscribe([INFY], "depth", (tick) => (found = tick));
  await live();
  gateway.socket.say("{");
  gateway.socket.say("null");
  gateway.socket.say({ type: "something new" });
  gateway.socket.say({ status: "error", code: "INVALID_MODE", message: "no such mode" });
  gateway.tick("NSE", "INFY", 3, { ltp: 1 });
  assert.deepEqual(problems, ["NOT_JSON", "NOT_JSON", "INVALID_MODE"]);
  assert.equal(found?.ltp, 1);
});

test("a closed client stays closed", LIMIT, async (t) => {
  const { client, gateway, statuses, live } = start(t);
  await live();
  client.close();
  client.connect();
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(gateway.sockets.length, 1);
  assert.equal(statuses.at(-1), "closed");
});
