// The chosen instrument: its quote, five levels of depth, and candles made here from its ticks.

import { CandleChart } from "./candlechart.js";
import { byId, h, setAttribute, setText } from "./dom.js";
import { clock, count, duration, percent, plural, price, whole } from "./figures.js";
import { onPaint } from "./pace.js";
import { recall, remember } from "./remember.js";
import { OLD_MS, changeOf, isOld, way } from "./watch.js";

const DEPTH = 3;
const LEVELS = 5;
const STEPS = [[5, "5 s"], [15, "15 s"], [60, "1 min"], [300, "5 min"]];
const FIGURES = [
  ["open", "Open", price], ["high", "High", price], ["low", "Low", price],
  ["close", "Prev. close", price], ["volume", "Volume", count], ["oi", "OI", count],
  ["average_price", "Average", price], ["last_trade_quantity", "Last qty", count],
  ["total_buy_quantity", "Buy qty", count], ["total_sell_quantity", "Sell qty", count],
];

export class Detail {
  constructor(watch, prices, gateway) {
    Object.assign(this, { watch, prices, gateway });
    this.step = recall("step", 5);
    this.build();
    watch.addEventListener("choose", () => this.open(watch.chosen));
    watch.addEventListener("watched", () => this.showWatched());
    onPaint(() => this.paint());
  }

  build() {
    this.name = h("h3", {}, "No instrument chosen");
    this.watcher = h("button", { type: "button", hidden: true,
      onclick: () => this.watch.toggle(this.item) }, "☆ Watch");
    this.where = h("span", { class: "faint" });
    this.ltp = h("span", { class: "big number" }, "–");
    this.change = h("span", { class: "number change" });
    this.age = h("span", { class: "faint" });
    this.cells = FIGURES.map(([, label]) => {
      const value = h("dd", { class: "number" }, "–");
      return { value, cell: h("div", {}, h("dt", {}, label), value) };
    });
    this.steps = h("select", { "aria-label": "Length of a candle",
      onchange: () => this.setStep(Number(this.steps.value)) },
    STEPS.map(([seconds, label]) => h("option", { value: seconds }, label)));
    this.steps.value = String(this.step);
    this.chartNote = h("span", { class: "faint" });
    this.chartBox = h("div", { class: "chart candles", role: "img", "aria-label": "Candles", hidden: true });
    this.noCandles = h("p", { class: "faint note empty" },
      "No candle yet. They are made here, from the ticks that come while the page is open.");
    byId("detail").append(
      h("div", { class: "quote" },
        h("div", {}, h("div", { class: "title-line" }, this.name, this.watcher), this.where),
        h("div", { class: "right" }, this.ltp, this.change, this.age)),
      h("dl", { class: "figures" }, this.cells.map(({ cell }) => cell)),
      h("div", { class: "split" },
        h("div", { class: "candle-box" },
          h("div", { class: "caption" }, h("label", {}, "Candles of ", this.steps), this.chartNote),
          this.chartBox, this.noCandles),
        this.buildDepth()));
    this.chart = new CandleChart(this.chartBox);
  }

  buildDepth() {
    const level = () => {
      const cells = ["orders", "quantity", "price", "price", "quantity", "orders"].map((name, at) =>
        h("td", { class: `number ${at < 3 ? "buy" : "sell"} ${name}` }, "–"));
      return h("tr", {}, cells);
    };
    this.levels = Array.from({ length: LEVELS }, level);
    this.depthNote = h("p", { class: "faint note" });
    const heads = ["Orders", "Qty", "Bid", "Ask", "Qty", "Orders"];
    return h("div", { class: "depth" },
      h("table", {}, h("caption", {}, "Depth"),
        h("thead", {}, h("tr", {}, heads.map((text) => h("th", { scope: "col" }, text)))),
        h("tbody", {}, this.levels)),
      this.depthNote);
  }

  open(item) {
    this.item = item;
    setText(this.name, item.symbol || `Token ${item.token}`);
    const parts = [item.exchange, item.token && `token ${item.token}`,
      item.connection !== null && `connection ${item.connection}`, item.account];
    setText(this.where, parts.filter(Boolean).join(" · "));
    this.candles = this.prices.candlesOf(item.key);
    this.showWatched();
    this.gateway.want("chosen", new Map(item.symbol ? [[item.key, DEPTH]] : []));
    this.chart.clear();
    this.paint();
  }

  showWatched() {
    if (this.item === undefined) return;
    const isWatched = this.watch.watched.has(this.item.key);
    this.watcher.hidden = false;
    setText(this.watcher, isWatched ? "★ Watched" : "☆ Watch");
    setAttribute(this.watcher, "aria-pressed", String(isWatched));
  }

  setStep(seconds) {
    this.step = seconds;
    remember("step", seconds);
    this.chart.clear();
    this.paint();
  }

  paint() {
    if (this.item === undefined) return;
    const record = this.prices.record(this.item.key);
    const data = record?.data ?? {};
    const live = this.gateway.phase === "live";
    setText(this.ltp, record ? price(data.ltp) : "–");
    setAttribute(this.ltp, "data-way", record ? way(record) : null);
    const moved = changeOf(data);
    setText(this.change, moved === null ? "" : percent(moved));
    setAttribute(this.change, "data-way", moved === null ? null : moved < 0 ? "down" : "up");
    setText(this.age, this.ageText(record, live));
    setAttribute(byId("detail"), "data-old", isOld(record, live));
    FIGURES.forEach(([field, , show], at) => {
      const value = data[field];
      setText(this.cells[at].value, typeof value === "number" ? show(value) : "–");
    });
    this.paintDepth(data.depth, record);
    this.paintCandles();
  }

  ageText(record, live) {
    if (!this.item.symbol) return "not in the instrument list: it has no name to ask for";
    const refused = this.gateway.refused.get(this.item.key);
    if (refused) return `the gateway refused it: ${refused}`;
    if (record === null) return live ? "no tick yet" : "no prices now";
    const age = Date.now() - record.heard;
    if (live && age < OLD_MS) return `last tick ${clock(record.heard)}`;
    return `last tick ${clock(record.heard)}, ${duration(age / 1000)} ago`;
  }

  paintDepth(depth, record) {
    const most = Math.max(1, ...(depth?.buy ?? []).map((one) => one.quantity),
      ...(depth?.sell ?? []).map((one) => one.quantity));
    this.levels.forEach((row, at) => {
      paintSide([...row.children].slice(0, 3).reverse(), depth?.buy?.[at], most);
      paintSide([...row.children].slice(3), depth?.sell?.[at], most);
    });
    let note = "";
    if (!depth) note = record === null ? "No tick yet." : "No depth in its ticks: an index, or a lower mode.";
    setText(this.depthNote, note);
  }

  paintCandles() {
    const rows = this.candles.of(this.step);
    const last = rows.at(-1);
    this.chartBox.hidden = last === undefined; // first: a chart needs to know how wide it may be
    this.noCandles.hidden = last !== undefined;
    this.chart.show(rows, this.step);
    setText(this.chartNote, last === undefined ? ""
      : `${plural(rows.length, "candle")} · O ${price(last.open)} H ${price(last.high)} ` +
        `L ${price(last.low)} C ${price(last.close)} · ${whole(last.ticks)} ticks`);
  }
}

/** cells: price, quantity, orders. */
function paintSide(cells, level, most) {
  const has = level !== undefined && level.quantity > 0;
  setText(cells[0], has ? price(level.price) : "–");
  setText(cells[1], has ? count(level.quantity) : "–");
  setText(cells[2], has ? count(level.orders) : "–");
  cells[1].style.setProperty("--fill", has ? `${Math.round((100 * level.quantity) / most)}%` : "0%");
}
