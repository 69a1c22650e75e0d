// The pool plan: what each connection of each account carries, and what there is room for.

import { byId, h, keepChildren, setAttribute, setText } from "./dom.js";
import { plural, whole, words } from "./figures.js";
import { onPaint } from "./pace.js";

export class Plan {
  constructor(state) {
    this.state = state;
    this.none = h("p", { class: "faint note card" }, "This instance has no pool.");
    onPaint(() => this.paint());
  }

  paint() {
    const found = this.state.document;
    if (!found?.connections) return;
    const accounts = found.pool?.accounts ?? [];
    keepChildren(byId("plan-body"), accounts, (one) => one.name, makeAccount,
      (element, one) => fillAccount(element, one, found.connections));
    if (!accounts.length) byId("plan-body").replaceChildren(this.none);
  }
}

function makeAccount() {
  return h("div", { class: "card account" }, h("h3"), h("p", { class: "faint" }), h("div", { class: "seats" }));
}

function fillAccount(element, account, connections) {
  const [title, note, seats] = element.children;
  setText(title, `${account.name} · ${account.broker}`);
  const room = account.per_connection * account.connections_max;
  const waiting = account.waiting ? ` · ${plural(account.waiting, "instrument")} without a connection` : "";
  setText(note, `${whole(account.instruments)} of ${whole(room)} instruments · ` +
    `${account.connections.length} of ${plural(account.connections_max, "connection")} · ` +
    `policy ${account.policy.replaceAll("_", " ")}${waiting}`);
  const free = Math.max(0, account.connections_max - account.connections.length);
  const empty = Array.from({ length: Math.min(free, 12) }, (_, at) => ({ number: `free ${at}`, free: true }));
  const states = new Map(connections.map((one) => [one.number, one.state]));
  keepChildren(seats, [...account.connections, ...empty], (one) => one.number, makeSeat,
    (seat, one) => fillSeat(seat, one, account, states));
}

function makeSeat() {
  return h("div", { class: "seat" }, h("b"), h("div", { class: "meter", role: "meter",
    "aria-valuemin": "0" }, h("div")), h("span", { class: "number" }));
}

function fillSeat(seat, one, account, states) {
  const [name, meter, text] = seat.children;
  seat.classList.toggle("free", Boolean(one.free));
  const capacity = one.free ? account.per_connection : one.capacity;
  const used = one.free ? 0 : one.instruments;
  const state = states.get(one.number);
  setText(name, one.free ? "free" : `c${one.number}`);
  setAttribute(meter, "aria-valuemax", capacity);
  setAttribute(meter, "aria-valuenow", used);
  setAttribute(meter, "aria-label", `${one.free ? "free connection" : `connection ${one.number}`}: instruments`);
  setAttribute(meter, "data-tone", used >= capacity ? "warn" : "good");
  meter.firstElementChild.style.width = `${capacity ? Math.min(100, (100 * used) / capacity) : 0}%`;
  const more = one.draining ? " · draining" : state && state !== "LIVE" ? ` · ${words(state)}` : "";
  setText(text, one.free ? `room for ${whole(capacity)}` : `${whole(used)} of ${whole(capacity)}${more}${modes(one)}`);
}

function modes(one) {
  const found = Object.entries(one.modes).filter(([, number]) => number);
  return found.length ? ` · ${found.map(([mode, number]) => `${whole(number)} ${mode}`).join(", ")}` : "";
}
