// A list of any length that has only the rows one sees: they are filled anew while one scrolls.

import { h } from "./dom.js";

const SPARE = 3;

/**
 * `make()` returns a row's element, `fill(element, item, index)` shows an item in it. Arrows choose,
 * Space and Enter mark; `seen` is told which items are in sight.
 */
export class VirtualList {
  constructor(box, { rowHeight, make, fill, choose, mark, seen }) {
    Object.assign(this, { box, rowHeight, make, fill, choose, mark, seen });
    this.items = [];
    this.chosen = -1;
    this.rows = [];
    this.from = 0;
    this.spacer = h("div", { class: "spacer", role: "presentation" });
    box.append(this.spacer);
    box.addEventListener("scroll", () => this.draw(), { passive: true });
    box.addEventListener("click", (event) => this.clicked(event));
    box.addEventListener("keydown", (event) => this.pressed(event));
    new ResizeObserver(() => this.draw()).observe(box);
  }

  setItems(items, chosen) {
    this.items = items;
    this.chosen = chosen;
    this.spacer.style.height = `${items.length * this.rowHeight}px`;
    this.draw();
  }

  /** Show the rows that are in sight, and say which. */
  draw() {
    const height = this.box.clientHeight;
    const first = Math.max(0, Math.floor(this.box.scrollTop / this.rowHeight) - SPARE);
    const most = Math.ceil(height / this.rowHeight) + 2 * SPARE;
    const shown = this.items.slice(first, first + (height ? most : 0));
    while (this.rows.length < shown.length) {
      const row = this.make();
      row.classList.add("row");
      row.setAttribute("role", "option");
      this.rows.push(row);
      this.spacer.append(row);
    }
    this.from = first;
    this.count = shown.length;
    this.rows.forEach((row, index) => this.place(row, shown[index], first + index));
    this.seen(shown);
    this.repaint();
  }

  place(row, item, index) {
    row.hidden = item === undefined;
    if (item === undefined) return;
    row.style.transform = `translateY(${index * this.rowHeight}px)`;
    row.id = `${this.box.id}-${index}`;
    row.dataset.index = String(index);
    row.setAttribute("aria-setsize", String(this.items.length));
    row.setAttribute("aria-posinset", String(index + 1));
  }

  /** Fill the rows in sight with what is known now. */
  repaint() {
    for (let at = 0; at < this.count; at += 1) {
      const index = this.from + at;
      const row = this.rows[at];
      row.setAttribute("aria-selected", String(index === this.chosen));
      this.fill(row, this.items[index], index);
    }
    const active = this.chosen >= 0 ? `${this.box.id}-${this.chosen}` : "";
    this.box.setAttribute("aria-activedescendant", active);
  }

  clicked(event) {
    const row = event.target.closest("[data-index]");
    if (row === null || event.target.closest("button") !== null) return;
    this.select(Number(row.dataset.index));
  }

  pressed(event) {
    if ((event.key === " " || event.key === "Enter") && this.items[this.chosen]) {
      event.preventDefault();
      this.mark(this.items[this.chosen]);
      return;
    }
    const page = Math.max(1, Math.floor(this.box.clientHeight / this.rowHeight) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page,
      Home: -this.items.length, End: this.items.length };
    if (!(event.key in steps) || !this.items.length) return;
    event.preventDefault();
    const wanted = this.chosen + steps[event.key];
    this.select(Math.min(this.items.length - 1, Math.max(0, wanted)));
  }

  select(index) {
    this.chosen = index;
    const top = index * this.rowHeight;
    const end = top + this.rowHeight - this.box.clientHeight;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    else if (end > this.box.scrollTop) this.box.scrollTop = end;
    this.choose(this.items[index]);
    this.draw();
  }
}
