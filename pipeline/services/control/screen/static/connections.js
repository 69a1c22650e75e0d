// Connections, processes and readers, as `top` has them.

import { byId, h } from "./dom.js";
import { bytes, clock, count, duration, latency, whole, words } from "./figures.js";
import { onPaint } from "./pace.js";
import { Table } from "./tables.js";

const TONES = { LIVE: "good", QUIET: "warn", LIMITED: "warn", RECONNECTING: "warn", CONNECTING: "warn",
  SUBSCRIBING: "warn", STALLED: "bad", FAILED: "bad", AUTH_EXPIRED: "bad" };

export const toneOf = (state) => TONES[state] ?? "idle";

const nonzero = (value, tone = "warn") => ({ text: count(value), tone: value ? tone : null });

const because = (value, by, tone = "warn") => ({ ...nonzero(value, tone),
  title: Object.entries(by ?? {}).filter(([, number]) => number)
    .map(([why, number]) => `${words(why)} ${whole(number)}`).join(", ") });

const ring = (found) => ({ text: `${found.fill_percent.toFixed(1)} %`, meter: found.fill_percent,
  tone: found.fill_percent >= 50 ? "bad" : null,
  title: `${whole(found.behind)} of ${whole(found.capacity)}` });

export class Connections {
  constructor(state) {
    this.state = state;
    this.scores = {};
    this.table = new Table(byId("connections-body"), "Connections", this.columns(), (one) => one.number,
      "No connection is open: nothing is subscribed. python -m pipeline sub add NAME NSE:INFY");
    const pair = byId("processes-body");
    const [left, right, below] = Array.from({ length: 3 }, () => h("div", { class: "card" }));
    below.classList.add("whole");
    this.hosts = h("div", { class: "card whole" });
    pair.append(below, this.hosts, left, right);
    this.strategies = new Table(this.hosts, "Hosted strategies", STRATEGIES, (one) => one.name, "");
    this.gateway = new Table(below, "Gateway", GATEWAY, () => "gateway", "This instance has no gateway.");
    this.processes = new Table(left, "Processes", PROCESSES, (one) => one.name, "No process.");
    this.readers = new Table(right, "Readers", READERS, (one) => `${one.name} ${one.pid}`,
      "No strategy reads: pipeline.attach(NAME)");
    onPaint(() => this.paint());
  }

  columns() {
    return [
      ["Connection", (one) => `c${one.number}`, true],
      ["Account", (one) => `${one.account} · ${one.broker}`, true],
      ["State", (one) => ({ text: words(one.state), tone: toneOf(one.state),
        title: `${one.state}, ${one.reason}, epoch ${one.epoch}` }), true],
      ["Since", (one) => ({ text: clock(one.since_ts_ns / 1e6), title: words(one.reason) })],
      ["Health", (one) => this.health(one)],
      ["Ticks/s", (one) => count(one.ticks_per_s)],
      ["Bytes/s", (one) => bytes(one.bytes_per_s)],
      ["Assigned", (one) => whole(one.assigned)],
      ["On the wire", (one) => whole(one.wire)],
      ["Ticking", (one) => ({ text: whole(one.confirmed), tone: one.confirmed < one.wire ? "warn" : null })],
      ["Last data", (one) => duration(one.last_data_age_s)],
      ["Frame ring", (one) => ring(one.frame_ring)],
      ["Tick stream", (one) => ring(one.tick_stream)],
      ["Reconnects", (one) => nonzero(one.reconnects)],
      ["Gaps", (one) => nonzero(one.gaps)],
      ["Errors", (one) => nonzero(one.errors)],
      ["Lost", (one) => nonzero(one.lost, "bad")],
    ];
  }

  health(one) {
    const score = this.scores[one.number];
    if (score === undefined) return "–";
    const tone = { healthy: "good", degraded: "warn", unhealthy: "bad" }[score.band];
    return { text: score.score.toFixed(0), tone, title: score.band };
  }

  paint() {
    const found = this.state.document;
    if (!found?.connections) return;
    this.scores = found.pool?.scores ?? {};
    this.table.show(found.connections);
    this.processes.show(found.processes);
    this.readers.show(found.readers);
    this.gateway.show(found.gateway ? [found.gateway] : []);
    this.hosts.hidden = found.strategies.length === 0;
    this.strategies.show(found.strategies);
  }
}

const PROCESSES = [
  ["Process", (one) => one.name, true],
  ["State", (one) => one.alive ? { text: "runs", tone: "good" } : one.done ? "done"
    : { text: "dead", tone: "bad" }, true],
  ["Pid", (one) => (one.alive ? String(one.pid) : "–")],
  ["Up", (one) => (one.alive ? duration(one.uptime_s) : "–")],
  ["Restarts", (one) => nonzero(one.restarts)],
  ["Last exit", (one) => (one.last_exit_reason
    ? `${one.last_exit_code} ${words(one.last_exit_reason)}${one.circuit_open ? ", circuit open" : ""}` : "–"), true],
];

const GATEWAY = [
  ["Gateway", (one) => `:${one.port}`, true],
  ["State", (one) => one.alive ? { text: "runs", tone: "good" } : { text: "dead", tone: "bad" }, true],
  ["Clients", (one) => ({ text: whole(one.clients), title: `${whole(one.authenticated)} have shown a key` })],
  ["Subscriptions", (one) => whole(one.subscriptions)],
  ["Instruments", (one) => whole(one.instruments)],
  ["Messages/s", (one) => count(one.messages_per_s)],
  ["Waiting", (one) => count(one.waiting)],
  ["Conflated", (one) => ({ text: count(one.conflated), title: "replaced by newer ones, for slow clients" })],
  ["Dropped", (one) => nonzero(one.dropped)],
  ["Cut", (one) => because(one.cut, one.cut_by)],
  ["Refused", (one) => because(one.refused, one.refused_by)],
  ["Lost", (one) => because(one.lost, one.lost_by, "bad")],
  ["p50", (one) => latency(one.latency?.p50_ns)],
  ["p99", (one) => latency(one.latency?.p99_ns)],
];

const STRATEGIES = [
  ["Strategy", (one) => one.name, true],
  ["Doing", (one) => ({ text: one.phase || "–", tone: one.slow ? "warn" : null }), true],
  ["For", (one) => duration(one.phase_s)],
  ["Calls", (one) => count(one.calls)],
  ["Ticks", (one) => count(one.ticks)],
  ["Events", (one) => count(one.events)],
  ["Lost", (one) => nonzero(one.lost)],
  ["Dropped", (one) => nonzero(one.dropped)],
  ["Errors", (one) => nonzero(one.errors)],
  ["Printed", (one) => ({ text: count(one.printed), title: "lines that it has printed" })],
];

const READERS = [
  ["Reader", (one) => one.name, true],
  ["State", (one) => one.alive ? { text: "reads", tone: "good" } : { text: "dead", tone: "bad" }, true],
  ["Ticks/s", (one) => count(one.ticks_per_s)],
  ["Behind", (one) => count(one.lag)],
  ["Lost", (one) => nonzero(one.lost)],
  ["p50", (one) => latency(one.latency?.p50_ns)],
  ["p99", (one) => latency(one.latency?.p99_ns)],
  ["p99.9", (one) => latency(one.latency?.p999_ns)],
];
