// Tables whose rows are kept in step with the figures; on a phone each row is a card.

import { h, keepChildren, setAttribute, setText } from "./dom.js";

/**
 * columns: [title, of(row) -> text or {text, tone, meter, title}, left?].
 * The first column is the row's head.
 */
export class Table {
  constructor(parent, caption, columns, keyOf, empty) {
    Object.assign(this, { columns, keyOf });
    this.body = h("tbody");
    this.empty = h("p", { class: "faint note" }, empty);
    this.table = h("table", { class: "figures-table" }, h("caption", {}, caption),
      h("thead", {}, h("tr", {}, columns.map(([title, , left]) =>
        h("th", { scope: "col", class: left ? "left" : "number" }, title)))), this.body);
    parent.append(h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
      this.table), this.empty);
  }

  show(rows) {
    this.table.hidden = rows.length === 0;
    this.empty.hidden = rows.length > 0;
    keepChildren(this.body, rows, this.keyOf, () => this.make(), (row, item) => this.fill(row, item));
  }

  make() {
    const cells = this.columns.map(([title, , left], at) =>
      h(at ? "td" : "th", { class: left ? "left" : "number", "data-label": title,
        scope: at ? null : "row" }, h("span")));
    return h("tr", {}, cells);
  }

  fill(row, item) {
    this.columns.forEach(([, of], at) => {
      const cell = row.children[at];
      const value = of(item);
      const { text, tone = null, meter = null, title = null } =
        typeof value === "object" ? value : { text: value };
      setText(cell.firstElementChild, text);
      setAttribute(cell, "data-tone", tone);
      setAttribute(cell, "title", title);
      setAttribute(cell, "data-meter", meter === null ? null : "");
      if (meter !== null) cell.style.setProperty("--fill", `${Math.min(100, meter)}%`);
    });
  }
}
