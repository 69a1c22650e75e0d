// What has happened: a lane for each connection and one for alerts, and the same as a list.

import { byId, h, keepChildren, s, setAttribute, setText } from "./dom.js";
import { clock, duration, plural, words } from "./figures.js";
import { toneOf } from "./connections.js";
import { onPaint } from "./pace.js";

const SPANS = [[5, "5 minutes"], [15, "15 minutes"], [60, "1 hour"], [360, "6 hours"]];
const LANE_PX = 26;
const LABEL_PX = 64;
const HEAD_PX = 20;
const LISTED = 60;

export class TimeLine {
  constructor(state) {
    this.state = state;
    this.minutes = 15;
    this.select = h("select", { "aria-label": "Time span", onchange: () => {
      this.minutes = Number(this.select.value);
      this.paint();
    } }, SPANS.map(([minutes, label]) => h("option", { value: minutes }, label)));
    this.select.value = "15";
    this.picture = s("svg", { class: "lanes", role: "img", "aria-label": "States, gaps and alerts over time" });
    this.list = h("ol", { class: "happenings" });
    this.none = h("p", { class: "faint note" }, "Nothing has happened yet.");
    byId("timeline-body").append(
      h("div", { class: "caption" }, h("label", {}, "The last ", this.select), this.legend()),
      this.picture, this.none, h("div", { class: "scroll list-scroll", tabindex: "0", role: "region",
        "aria-label": "What has happened, newest first" }, this.list));
    onPaint(() => this.paint());
  }

  legend() {
    const entry = (name, text) => h("span", { class: `key ${name}` }, text);
    return h("span", { class: "legend" }, entry("good", "live"), entry("warn", "not live"),
      entry("bad", "failed"), entry("gap", "gap"), entry("alert", "alert"));
  }

  /** Once for each document: nothing here moves in between. */
  paint() {
    const found = this.state.document;
    const width = this.picture.parentElement.clientWidth;
    const drawn = [found?.taken_ts_ns, this.minutes, width].join(" ");
    if (!found?.connections || drawn === this.drawn) return;
    this.drawn = drawn;
    const rows = [...this.state.happenings, ...alertRows(found.alerts)];
    this.none.hidden = rows.length > 0;
    this.drawLanes(found);
    const newest = rows.sort((one, other) => whenOf(other) - whenOf(one)).slice(0, LISTED);
    keepChildren(this.list, newest, (row) => row.key ?? row.number, makeRow, fillRow);
  }

  drawLanes(found) {
    const width = this.picture.parentElement.clientWidth - 24;
    if (width <= 0) return;
    const end = found.taken_ts_ns;
    const start = end - this.minutes * 60e9;
    const x = (ns) => LABEL_PX + ((Math.min(end, Math.max(start, ns)) - start) / (end - start)) * (width - LABEL_PX);
    const lanes = found.connections.map((one) => [`c${one.number}`, states(this.state.happenings, one, end),
      this.state.happenings.filter((row) => row.connection === one.number && row.kind !== "state")]);
    const alerts = [...(found.alerts?.open ?? []), ...(found.alerts?.resolved ?? [])];
    const height = HEAD_PX + (lanes.length + 1) * LANE_PX;
    setAttribute(this.picture, "width", width);
    setAttribute(this.picture, "height", height);
    const parts = axis(start, end, width, height, x);
    lanes.forEach(([label, spans, marks], at) => parts.push(...lane(HEAD_PX + at * LANE_PX, label, spans, marks, x, start)));
    parts.push(...alertLane(HEAD_PX + lanes.length * LANE_PX, alerts, x, start, end));
    this.picture.replaceChildren(...parts);
  }
}

/** The states of a connection as spans: each lasts until the next one. */
function states(happenings, connection, end) {
  const rows = happenings.filter((row) => row.kind === "state" && row.connection === connection.number);
  const spans = rows.map((row, at) => ({ state: row.state, reason: row.reason, from: row.end_ts_ns,
    to: rows[at + 1]?.end_ts_ns ?? end }));
  // What the stream has not told, or tells no more: the page of the feed says how it is now.
  const last = spans.at(-1);
  if (last?.state !== connection.state && connection.since_ts_ns > (last?.from ?? 0)) {
    if (last !== undefined) last.to = connection.since_ts_ns;
    spans.push({ state: connection.state, reason: connection.reason, from: connection.since_ts_ns, to: end });
  }
  return spans;
}

function axis(start, end, width, height, x) {
  const parts = [];
  const most = Math.max(2, Math.floor((width - LABEL_PX) / 110));
  for (let at = 0; at <= most; at += 1) {
    const ns = start + ((end - start) * at) / most;
    const anchor = at === 0 ? "start" : at === most ? "end" : "middle";
    parts.push(s("line", { x1: x(ns), x2: x(ns), y1: HEAD_PX - 4, y2: height, class: "grid" }));
    const label = s("text", { x: x(ns), y: 11, "text-anchor": anchor });
    label.textContent = clock(ns / 1e6);
    parts.push(label);
  }
  return parts;
}

function lane(top, label, spans, marks, x, start) {
  const parts = [name(top, label)];
  for (const span of spans.filter((one) => one.to > start)) {
    parts.push(bar(x(span.from), x(span.to), top + 8, 10, toneOf(span.state),
      `${label} ${words(span.state)} (${words(span.reason)}) from ${clock(span.from / 1e6)}`));
  }
  for (const mark of marks.filter((one) => one.end_ts_ns > start)) {
    parts.push(bar(x(mark.start_ts_ns), Math.max(x(mark.end_ts_ns), x(mark.start_ts_ns) + 3), top + 3, 20,
      "gap", sentence(mark)));
  }
  return parts;
}

function alertLane(top, alerts, x, start, end) {
  const parts = [name(top, "alerts")];
  for (const one of alerts) {
    const to = one.resolved_ts_ns ?? end;
    if (to <= start) continue;
    parts.push(bar(x(one.since_ts_ns), Math.max(x(to), x(one.since_ts_ns) + 3), top + 8, 10, "alert",
      `${one.subject}: ${one.text}`));
  }
  return parts;
}

function name(top, text) {
  const element = s("text", { x: 0, y: top + 17, class: "lane-name" });
  element.textContent = text;
  return element;
}

function bar(from, to, top, height, tone, text) {
  const title = s("title");
  title.textContent = text;
  return s("rect", { x: from, y: top, width: Math.max(1, to - from), height, rx: 2, class: tone }, title);
}

function alertRows(alerts) {
  return [...(alerts?.open ?? []), ...(alerts?.resolved ?? [])].map((one) => ({
    ...one, key: `alert ${one.id} ${one.resolved}`, kind: "alert",
  }));
}

const whenOf = (row) => row.resolved_ts_ns ?? row.since_ts_ns ?? row.end_ts_ns;

function sentence(row) {
  if (row.kind === "alert") {
    const lasted = row.resolved ? ` (resolved after ${duration((row.resolved_ts_ns - row.since_ts_ns) / 1e9)})` : "";
    return `alert, ${row.subject}: ${row.text}${lasted}`;
  }
  const why = words(row.reason);
  if (row.kind === "state") return `c${row.connection} ${words(row.state)}: ${why}`;
  const lasted = duration((row.end_ts_ns - row.start_ts_ns) / 1e9);
  const whose = row.instruments ? ` of ${plural(row.instruments, "instrument")}` : "";
  return `c${row.connection} ${row.kind}${whose} of ${lasted}: ${why}, from ${clock(row.start_ts_ns / 1e6)}`;
}

const toneOfRow = (row) => row.kind === "state" ? toneOf(row.state)
  : row.kind === "alert" ? (row.resolved ? "idle" : "alert") : "gap";

function makeRow() {
  return h("li", {}, h("time"), h("span"));
}

function fillRow(element, row) {
  const when = whenOf(row);
  setAttribute(element, "data-tone", toneOfRow(row));
  setAttribute(element.firstElementChild, "datetime", new Date(when / 1e6).toISOString());
  setText(element.firstElementChild, clock(when / 1e6));
  setText(element.lastElementChild, sentence(row));
}
