import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { type TestContext, test } from "node:test";

import { StrictMode, act, createElement } from "react";
import { create, type ReactTestRenderer } from "react-test-renderer";

import { GatewayClient, type Mode } from "../src/index.js";
import { GatewayProvider, type MarketData, useMarketData } from "../src/react.js";
import { FakeGateway, until } from "./fake.js";

const LIMIT = { timeout: 30_000 };
const frames: (() => void)[] = [];
Object.assign(globalThis, {
  IS_REACT_ACT_ENVIRONMENT: true,
  requestAnimationFrame: (draw: () => void) => frames.push(draw),
  cancelAnimationFrame: (number: number) => number > 0 && (frames[number - 1] = () => undefined),
});

/** Draw what is due, as a browser does some sixty times a second. */
async function frame(): Promise<void> {
  await act(async () => {
    for (const draw of frames.splice(0)) draw();
  });
}

// react-test-renderer tells in its first line that it is out of favour; it does what is needed.
const { error } = console;
console.error = (...words: unknown[]) => {
  if (!String(words[0]).includes("react-test-renderer is deprecated")) error(...words);
};

async function mount(t: TestContext, gateway = new FakeGateway(), { strict = false } = {}) {
  frames.length = 0;
  const client = new GatewayClient(gateway.options);
  client.connect();
  const shown: MarketData<Mode>[] = [];
  function Prices({ symbols, mode }: { symbols: readonly string[]; mode: Mode }) {
    shown.push(useMarketData(symbols, mode));
    return null;
  }
  const tree = (symbols: readonly string[], mode: Mode) => {
    const prices = createElement(Prices, { symbols, mode });
    const whole = createElement(GatewayProvider, { value: client }, prices);
    return strict ? createElement(StrictMode, null, whole) : whole;
  };
  let renderer: ReactTestRenderer | undefined;
  const render = (symbols: readonly string[], mode: Mode = "ltp") =>
    act(async () => {
      if (renderer === undefined) renderer = create(tree(symbols, mode));
      else renderer.update(tree(symbols, mode));
    });
  const unmount = () => act(async () => renderer?.unmount());
  t.after(async () => {
    await unmount();
    client.close();
  });
  await until(() => client.status === "live");
  const last = () => shown.at(-1) as MarketData<"ltp">;
  return { client, gateway, shown, last, render, unmount };
}

test("the hook has at most a hundred lines", () => {
  const source = readFileSync(new URL("../../src/react.ts", import.meta.url), "utf8");
  assert.ok(source.split("\n").length <= 101);
});

test("many ticks between two frames are one rendering, with the newest", LIMIT, async (t) => {
  const { gateway, shown, last, render } = await mount(t);
  await render(["NSE:INFY", "NSE_INDEX:NIFTY"]);
  await until(() => gateway.of("subscribe").length === 1);
  await frame();
  const before = shown.length;
  for (let i = 1; i <= 100; i += 1) gateway.tick("NSE", "INFY", 1, { ltp: i });
  gateway.tick("NSE_INDEX", "NIFTY", 1, { ltp: 24_600.5 });
  assert.equal(shown.length, before);
  await frame();
  assert.equal(shown.length, before + 1);
  assert.equal(last().quotes["NSE:INFY"]?.ltp, 100);
  assert.equal(last().quotes["NSE_INDEX:NIFTY"]?.ltp, 24_600.5);
  assert.equal(last().stale, false);
});

test("a new array of the same symbols is the same subscription", LIMIT, async (t) => {
  const { gateway, render } = await mount(t);
  await render(["NSE:INFY", "NSE:TCS"]);
  await render(["NSE:TCS", "NSE:INFY"]);
  await until(() => gateway.of("subscribe").length === 1);
  await frame();
  assert.equal(gateway.of("unsubscribe").length, 0);
});

test("other symbols, or another mode, replace the ones before", LIMIT, async (t) => {
  const { gateway, last, render, unmount } = await mount(t);
  await render(["NSE:INFY"]);
  await until(() => gateway.of("subscribe").length === 1);
  gateway.tick("NSE", "INFY", 1, { ltp: 1 });
  await frame();
  await render(["NSE:TCS"], "quote");
  await until(() => gateway.of("subscribe").length === 2);
  assert.deepEqual(gateway.of("unsubscribe")[0]?.symbols?.[0]?.symbol, "INFY");
  assert.deepEqual(last().quotes, {});
  await unmount();
  await until(() => gateway.of("unsubscribe").length === 2);
});

test("a symbol that stays keeps its price, and its subscription", LIMIT, async (t) => {
  const { gateway, last, render } = await mount(t);
  await render(["NSE:INFY", "NSE:TCS"]);
  await until(() => gateway.of("subscribe").length === 1);
  gateway.tick("NSE", "INFY", 1, { ltp: 7 });
  gateway.tick("NSE", "TCS", 1, { ltp: 8 });
  await frame();
  await render(["NSE:INFY", "NSE:WIPRO"]);
  assert.deepEqual(Object.keys(last().quotes), ["NSE:INFY"]);
  assert.equal(last().quotes["NSE:INFY"]?.ltp, 7);
  await until(() => gateway.of("subscribe").length === 2);
  const names = (action: string) => gateway.of(action).at(-1)?.symbols?.map(({ symbol }) => symbol);
  assert.deepEqual([names("unsubscribe"), names("subscribe")], [["TCS"], ["WIPRO"]]);
  gateway.tick("NSE", "WIPRO", 1, { ltp: 9 });
  await frame();
  assert.deepEqual(Object.values(last().quotes).map(({ ltp }) => ltp), [7, 9]);
});

test("what others have already is there at once, prices and refusals", LIMIT, async (t) => {
  const gateway = new FakeGateway();
  gateway.unknown.add("NSE:XXX");
  const { client, last, render } = await mount(t, gateway);
  const two = ["INFY", "XXX"].map((symbol) => ({ exchange: "NSE", symbol }));
  client.subscribe(two, "ltp", () => undefined);
  await until(() => client.refusal(two[1]!, "ltp") !== undefined);
  gateway.tick("NSE", "INFY", 1, { ltp: 7 });
  await render(["NSE:INFY", "NSE:XXX"]);
  assert.equal(last().quotes["NSE:INFY"]?.ltp, 7);
  assert.deepEqual(last().rejected, { "NSE:XXX": "Token not found for XXX on NSE" });
  assert.equal(gateway.of("subscribe").length, 1);
});

test("in strict mode it is one subscription, and none is left", LIMIT, async (t) => {
  const { gateway, last, render, unmount } = await mount(t, new FakeGateway(), { strict: true });
  await render(["NSE:INFY"]);
  await until(() => gateway.of("subscribe").length === 1);
  gateway.tick("NSE", "INFY", 1, { ltp: 1 });
  await frame();
  assert.equal(last().quotes["NSE:INFY"]?.ltp, 1);
  await unmount();
  await until(() => gateway.of("unsubscribe").length === 1);
  gateway.tick("NSE", "INFY", 1, { ltp: 2 });
  assert.equal(frames.length, 0, "nothing is drawn for who is gone");
  assert.deepEqual([gateway.of("subscribe").length, gateway.of("unsubscribe").length], [1, 1]);
});

test("what is no symbol is told, and harms no other", LIMIT, async (t) => {
  const { gateway, last, render } = await mount(t);
  await render(["NSE:INFY", "INFY", ""]);
  await until(() => gateway.of("subscribe").length === 1);
  gateway.tick("NSE", "INFY", 1, { ltp: 7 });
  await frame();
  assert.equal(last().quotes["NSE:INFY"]?.ltp, 7);
  assert.match(last().rejected["INFY"] ?? "", /EXCHANGE:SYMBOL/);
});

test("prices are stale while there is no gateway", LIMIT, async (t) => {
  const { client, gateway, last, render } = await mount(t);
  await render(["NSE:INFY"]);
  await until(() => gateway.of("subscribe").length === 1);
  gateway.tick("NSE", "INFY", 1, { ltp: 1 });
  await frame();
  gateway.mute = true;
  gateway.socket.cut(1006);
  await frame();
  assert.equal(last().stale, true);
  assert.equal(last().quotes["NSE:INFY"]?.ltp, 1, "the last price stays to be seen");
  await until(() => gateway.sockets.length === 2);
  gateway.mute = false;
  gateway.socket.cut(1006);
  await until(() => client.status === "live");
  await frame();
  assert.equal(last().stale, false);
});

test("what is refused is told", LIMIT, async (t) => {
  const gateway = new FakeGateway();
  gateway.unknown.add("NSE:XXX");
  const { last, render } = await mount(t, gateway);
  await render(["NSE:XXX"]);
  await until(() => frames.length > 0);
  await frame();
  assert.deepEqual(last().rejected, { "NSE:XXX": "Token not found for XXX on NSE" });
});

test("it says what it needs", LIMIT, async () => {
  function Lost() {
    useMarketData(["NSE:INFY"], "ltp");
    return null;
  }
  const { error: before } = console;
  console.error = () => undefined;
  try {
    const render = async () => act(async () => void create(createElement(Lost)));
    await assert.rejects(render, /GatewayProvider/);
  } finally {
    console.error = before;
  }
});
