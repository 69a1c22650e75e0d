// Latency percentiles, rates and ring fill over time, as far back as this page has looked.

import { byId, h, setText } from "./dom.js";
import { count, latency } from "./figures.js";
import { onPaint } from "./pace.js";
import { Plot, common } from "./plots.js";
import { colour } from "./theme.js";

const KEPT = 1800; // 15 minutes of two looks a second
const HEIGHT = 190;

export class Charts {
  constructor(state) {
    this.state = state;
    this.times = [];
    this.rates = [];
    this.fills = [[], []];
    this.latencies = new Map(); // of what -> [p50, p99, p99.9]
    this.of = "decoders";
    this.dirty = false;
    this.select = byId("latency-of");
    this.select.append(h("option", { value: "decoders" }, "to publish, slowest decoder"));
    this.select.addEventListener("change", () => {
      this.of = this.select.value;
      this.dirty = true;
      this.paint();
    });
    this.makePlots();
    state.addEventListener("document", () => this.take(state.document));
    state.addEventListener("phase", () => state.phase === "lost" && this.interrupt());
    onPaint(() => this.paint());
  }

  makePlots() {
    this.latency = new Plot(byId("latency-chart"), (box) => ({
      ...common(box, { height: HEIGHT, y: { values: (plot, all) => all.map((one) => one && latency(one)) } }),
      scales: { y: { distr: 3, range: logRange } },
      series: [{}, line("p50", "a"), line("p99", "b"), line("p999", "c")],
    }));
    this.rate = new Plot(byId("rate-chart"), (box) => ({
      ...common(box, { height: HEIGHT, y: { values: (plot, all) => all.map((one) => count(one)) } }),
      scales: { y: { range: fromZero(10) } },
      series: [{}, line("ticks/s", "a", true)],
    }));
    this.fill = new Plot(byId("fill-chart"), (box) => ({
      ...common(box, { height: HEIGHT, y: { values: (plot, all) => all.map((one) => `${one} %`) } }),
      scales: { y: { range: fromZero(5, 100) } },
      series: [{}, line("frame ring", "a"), line("tick stream", "b")],
    }));
  }

  take(found) {
    if (!found.connections) return;
    this.dirty = true;
    this.times.push(found.taken_ts_ns / 1e9);
    const rated = found.connections.filter((one) => one.ticks_per_s !== null);
    this.rates.push(rated.length ? sum(rated.map((one) => one.ticks_per_s)) : null);
    this.fills[0].push(most(found.connections.map((one) => one.frame_ring.fill_percent)));
    this.fills[1].push(most(found.connections.map((one) => one.tick_stream.fill_percent)));
    this.takeLatencies(found);
    this.trim();
  }

  takeLatencies(found) {
    const now = new Map([["decoders", worst(found.decoders.map((one) => one.latency))]]);
    for (const one of found.decoders) now.set(`to publish, decoder ${one.number}`, one.latency);
    for (const one of found.readers) now.set(`to strategy, ${one.name}`, one.latency);
    if (found.gateway) now.set("to socket, gateway", found.gateway.latency);
    for (const [name, value] of now) {
      if (!this.latencies.has(name)) this.begin(name);
      this.latencies.get(name).forEach((row, at) => row.push(percentile(value, at)));
    }
    for (const [name, rows] of this.latencies) {
      if (!now.has(name)) rows.forEach((row) => row.push(null));
    }
  }

  begin(name) {
    const empty = () => new Array(this.times.length - 1).fill(null);
    this.latencies.set(name, [empty(), empty(), empty()]);
    if (name !== "decoders") this.select.append(h("option", { value: name }, name));
  }

  /** Nothing is known of the time in between: a gap in every line. */
  interrupt() {
    if (!this.times.length) return;
    this.times.push(this.times.at(-1) + 0.001);
    for (const row of this.rows()) row.push(null);
  }

  rows() {
    return [this.rates, ...this.fills, ...[...this.latencies.values()].flat()];
  }

  trim() {
    const over = this.times.length - KEPT;
    if (over <= 0) return;
    this.times.splice(0, over);
    for (const row of this.rows()) row.splice(0, over);
    for (const [name, rows] of this.latencies) {
      if (name !== "decoders" && name !== this.of && rows[0].every((one) => one === null)) this.drop(name);
    }
  }

  drop(name) {
    this.latencies.delete(name);
    [...this.select.options].find((one) => one.value === name)?.remove();
  }

  paint() {
    if (!this.dirty || this.times.length < 2) return;
    this.dirty = false;
    const rows = this.latencies.get(this.of) ?? this.latencies.get("decoders");
    this.latency.show([this.times, ...rows]);
    this.rate.show([this.times, this.rates]);
    this.fill.show([this.times, ...this.fills]);
    const now = rows.map((row) => row.at(-1));
    legend(byId("latency-now"), ["p50", "p99", "p99.9"].map((name, at) => `${name} ${latency(now[at])}`));
    setText(byId("rate-now"), this.rates.at(-1) === null ? "" : `${count(this.rates.at(-1))}/s`);
    legend(byId("fill-now"), ["frames", "ticks"].map((name, at) => `${name} ${this.fills[at].at(-1) ?? 0} %`));
  }
}

/** What the lines are, in their colours, and their newest values. */
function legend(element, texts) {
  if (element.childElementCount !== texts.length) {
    element.replaceChildren(...texts.map((_, at) => h("span", { class: `key s-${"abc"[at]}` })));
  }
  texts.forEach((text, at) => setText(element.children[at], text));
}

const sum = (values) => values.reduce((one, other) => one + other, 0);
const most = (values) => (values.length ? Math.max(...values) : 0);

function line(label, name, filled = false) {
  return { label, stroke: () => colour(`series-${name}`), width: 1.5, points: { show: false },
    ...(filled ? { fill: () => colour("series-fill") } : {}) };
}

function worst(found) {
  const known = found.filter((one) => one !== null);
  if (!known.length) return null;
  const of = (name) => Math.max(...known.map((one) => one[name]));
  return { p50_ns: of("p50_ns"), p99_ns: of("p99_ns"), p999_ns: of("p999_ns") };
}

function percentile(value, at) {
  if (value === null) return null;
  return Math.max(1, [value.p50_ns, value.p99_ns, value.p999_ns][at]);
}

function logRange(plot, low, high) {
  if (low === null || high === null) return [1e3, 1e6];
  return [10 ** Math.floor(Math.log10(low)), 10 ** Math.ceil(Math.log10(high * 1.01))];
}

const fromZero = (least, end = Infinity) => (plot, low, high) =>
  [0, Math.min(end, Math.max(least, (high ?? 0) * 1.15))];
