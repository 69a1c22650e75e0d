// The list of instruments: watched ones, or all that the pool streams; live prices for those in sight.

import { byId, h, setAttribute, setText } from "./dom.js";
import { duration, percent, plural, price } from "./figures.js";
import { splitKey } from "./gateway.js";
import { onPaint } from "./pace.js";
import { recall, remember } from "./remember.js";
import { VirtualList } from "./virtual.js";

const ROW_PX = 40;
//: Without a tick for so long a price is called old.
export const OLD_MS = 15000;
const LTP = 1;
const QUOTE = 2;

export class WatchList extends EventTarget {
  constructor(instruments, prices, gateway) {
    super();
    Object.assign(this, { instruments, prices, gateway });
    this.watched = new Set();
    this.chosen = null;
    this.tab = "all";
    this.list = new VirtualList(byId("list"), {
      rowHeight: ROW_PX,
      make: () => this.makeRow(),
      fill: (row, item) => this.fillRow(row, item),
      choose: (item) => this.choose(item),
      mark: (item) => this.toggle(item),
      seen: (items) => this.see(items),
    });
    this.place = "";
    instruments.addEventListener("change", () => this.refresh());
    byId("search").addEventListener("input", () => this.refresh());
    byId("tab-all").addEventListener("click", () => this.show("all"));
    byId("tab-watched").addEventListener("click", () => this.show("watched"));
    onPaint(() => this.paint());
  }

  /** Take up what was watched in an instance of this name. */
  open(name) {
    if (this.place === name) return;
    this.place = name;
    this.watched = new Set(recall(`watched.${name}`, []));
    this.show(this.watched.size ? "watched" : "all");
  }

  show(tab) {
    this.tab = tab;
    for (const name of ["all", "watched"]) {
      byId(`tab-${name}`).setAttribute("aria-pressed", String(name === tab));
    }
    this.refresh();
  }

  refresh() {
    const found = this.instruments.search(byId("search").value);
    this.items = this.tab === "all" ? found : this.ofWatched(found);
    if (this.chosen === null && this.items.length) this.choose(this.items[0]);
    byId("list").hidden = this.items.length === 0;
    const index = this.items.findIndex((item) => item.key === this.chosen?.key);
    this.list.setItems(this.items, index);
    this.gateway.want("watched", new Map([...this.watched].map((key) => [key, QUOTE])));
    setText(byId("tab-all"), `All (${this.instruments.items.length.toLocaleString("en-IN")})`);
    setText(byId("tab-watched"), `Watched (${this.watched.size})`);
    setText(byId("list-note"), this.note());
  }

  ofWatched(found) {
    const listed = found.filter((item) => this.watched.has(item.key));
    const search = byId("search").value.toUpperCase();
    const known = this.instruments.byKey;
    const others = [...this.watched].filter((key) => !known.has(key) && key.includes(search));
    return [...listed, ...others.map((key) => ({ key, ...splitKey(key), connection: null }))];
  }

  note() {
    const { instruments } = this;
    if (!instruments.loaded) return "Loading the instruments…";
    if (instruments.problem) return `Instruments have no names here: ${instruments.problem}`;
    if (this.tab === "watched" && !this.watched.size) {
      return "Nothing is watched yet: press ☆ beside an instrument under All.";
    }
    if (!instruments.items.length) {
      return "Nothing is subscribed: python -m pipeline sub add NAME NSE:INFY --mode full";
    }
    if (!this.items.length) return "No instrument has all of these words in its name.";
    const rest = instruments.unnamed
      ? ` ${plural(instruments.unnamed, "instrument")} of them not in the instrument list.` : "";
    return `${plural(this.items.length, "instrument")}.${rest}`;
  }

  choose(item) {
    if (item === undefined || item.key === this.chosen?.key) return;
    this.chosen = item;
    this.dispatchEvent(new Event("choose"));
  }

  see(items) {
    const keys = items.filter((item) => item.symbol).map((item) => [item.key, LTP]);
    this.gateway.want("seen", new Map(keys));
  }

  toggle(item) {
    if (!this.watched.delete(item.key)) this.watched.add(item.key);
    remember(`watched.${this.place}`, [...this.watched]);
    this.refresh();
    this.dispatchEvent(new Event("watched"));
  }

  paint() {
    this.list.repaint();
  }

  makeRow() {
    const star = h("button", { type: "button", class: "star", tabindex: "-1", "aria-hidden": "true" });
    const row = h("div", {}, star,
      h("span", { class: "who" }, h("b"), h("small")),
      h("span", { class: "number ltp" }), h("span", { class: "number change" }));
    row.parts = { star, name: row.querySelector("b"), where: row.querySelector("small"),
      ltp: row.querySelector(".ltp"), change: row.querySelector(".change") };
    star.addEventListener("click", () => this.toggle(row.item));
    return row;
  }

  fillRow(row, item) {
    row.item = item;
    const { star, name, where, ltp, change } = row.parts;
    const isWatched = this.watched.has(item.key);
    const shown = item.symbol || `token ${item.token}`;
    setText(star, isWatched ? "★" : "☆");
    setAttribute(star, "title", `${isWatched ? "Stop watching" : "Watch"} ${shown}`);
    setAttribute(star, "data-on", isWatched);
    setText(name, shown);
    setAttribute(name, "title", shown);
    const at = item.connection === null ? "not streamed" : `c${item.connection}`;
    const live = this.gateway.phase === "live";
    const record = this.prices.record(item.key);
    const refused = this.gateway.refused.get(item.key);
    const age = refused ? "refused" : ageOf(record, live);
    setText(where, [item.exchange, at, age].filter(Boolean).join(" · "));
    setAttribute(where, "title", refused);
    setText(ltp, record ? price(record.data.ltp) : "–");
    setAttribute(ltp, "data-way", record ? way(record) : null);
    const moved = record ? changeOf(record.data) : null;
    setText(change, moved === null ? "" : percent(moved));
    setAttribute(change, "data-way", moved === null ? null : moved < 0 ? "down" : moved > 0 ? "up" : null);
    setAttribute(row, "data-old", isOld(record, live));
  }
}

/** Whether a price moved up or down last. */
export function way(record) {
  if (record.before === null) return null;
  return record.data.ltp > record.before ? "up" : record.data.ltp < record.before ? "down" : null;
}

/** The change since the previous close, in percent; null where the ticks do not tell. */
export function changeOf(data) {
  if (typeof data.change_percent === "number") return data.change_percent;
  if (typeof data.ltp !== "number" || !data.close) return null;
  return (100 * (data.ltp - data.close)) / data.close;
}

export const isOld = (record, live) =>
  record !== null && (!live || Date.now() - record.heard > OLD_MS);

function ageOf(record, live) {
  if (record === null) return "";
  const age = Date.now() - record.heard;
  return !live || age > OLD_MS ? `${duration(age / 1000)} old` : "";
}
