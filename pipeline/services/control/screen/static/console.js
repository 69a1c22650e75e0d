// Gateway messages by hand, on a socket of its own: what one tries first.

import { gatewayAccess } from "./access.js";
import { byId, h, setAttribute, setText } from "./dom.js";
import { clock } from "./figures.js";

const LINES = 200;
const LENGTH = 2000;
const KEY = "<page key>";

const examples = ({ exchange, symbol }) => [
  ["Authenticate", { action: "authenticate", api_key: KEY }],
  ["Subscribe LTP", { action: "subscribe", symbol, exchange, mode: 1 }],
  ["Subscribe Quote", { action: "subscribe", symbols: [{ symbol, exchange }], mode: "Quote" }],
  ["Subscribe Depth", { action: "subscribe", symbol, exchange, mode: 3, depth: 5 }],
  ["Unsubscribe", { action: "unsubscribe", symbols: [{ symbol, exchange }] }],
  ["Unsubscribe all", { action: "unsubscribe_all" }],
  ["Orders", { action: "subscribe_orders" }],
  ["Subscriptions", { action: "get_subscriptions" }],
  ["Broker", { action: "get_broker_info" }],
  ["Brokers", { action: "get_supported_brokers" }],
  ["Ping", { action: "ping", timestamp: 1 }],
];

export class Console {
  constructor(watch) {
    this.watch = watch;
    this.socket = null;
    this.opening = false;
    this.key = "";
    this.build();
    watch.addEventListener("choose", () => this.listExamples());
    this.listExamples();
  }

  build() {
    this.button = h("button", { type: "button", class: "main", onclick: () => this.toggle() }, "Connect");
    this.status = h("span", { class: "faint", role: "status" }, "not connected");
    this.examples = h("div", { class: "examples", role: "group", "aria-label": "Examples" });
    this.input = h("textarea", { rows: 3, spellcheck: "false", "aria-label": "Message to the gateway, JSON",
      onkeydown: (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && this.send() });
    this.sender = h("button", { type: "button", class: "main", disabled: true, onclick: () => this.send() }, "Send");
    this.quiet = h("input", { type: "checkbox" });
    this.log = h("ol", { class: "log", tabindex: "0", "aria-label": "Messages, newest last" });
    this.hint = h("p", { class: "faint note" },
      "Connect, click an example, send it. The first message has to authenticate: the page puts the key of " +
      `its session in the place of ${KEY}, and shows it nowhere. Ctrl-Enter sends.`);
    byId("console-body").append(
      h("div", { class: "bar" }, this.button, this.status), this.examples, this.input,
      h("div", { class: "bar" }, this.sender,
        h("button", { type: "button", onclick: () => this.log.replaceChildren() }, "Clear"),
        h("label", { class: "check" }, this.quiet, " hide market data")),
      this.hint, this.log);
  }

  listExamples() {
    const chosen = this.watch.chosen?.symbol ? this.watch.chosen : { exchange: "NSE", symbol: "INFY" };
    this.examples.replaceChildren(...examples(chosen).map(([name, message]) =>
      h("button", { type: "button", onclick: () => this.put(message) }, name)));
    if (!this.input.value) this.input.value = JSON.stringify(examples(chosen)[0][1]);
  }

  put(message) {
    this.input.value = JSON.stringify(message);
    this.input.focus({ preventScroll: true });
  }

  async toggle() {
    if (this.socket !== null) {
      this.socket.close();
      return;
    }
    if (this.opening) return;
    this.opening = true;
    setText(this.status, "connecting");
    try {
      const access = await gatewayAccess();
      this.key = access.key;
      this.open(access.url);
    } catch (error) {
      setText(this.status, { expired: "the session has expired", absent: "there is no gateway" }[error.phase]
        ?? "the control process does not answer");
    } finally {
      this.opening = false;
    }
  }

  open(url) {
    const socket = new WebSocket(url);
    this.socket = socket;
    socket.onopen = () => this.say("connected", `connected to ${url}`);
    socket.onmessage = (event) => this.heard(event.data);
    socket.onclose = (event) => {
      this.socket = null;
      this.say("not connected", `closed: ${event.code} ${event.reason}`.trim());
    };
  }

  say(status, line) {
    setText(this.status, `${status} since ${clock(Date.now())}`);
    const open = status === "connected";
    setText(this.button, open ? "Disconnect" : "Connect");
    setAttribute(this.sender, "disabled", !open);
    this.write("note", line);
  }

  send() {
    const text = this.input.value.trim();
    if (this.socket?.readyState !== WebSocket.OPEN || !text) return;
    this.socket.send(text.replaceAll(KEY, this.key));
    this.write("sent", text);
  }

  heard(data) {
    const text = String(data);
    if (this.quiet.checked && text.includes('"market_data"')) return;
    this.write("got", this.key ? text.replaceAll(this.key, KEY) : text);
  }

  write(kind, text) {
    const atEnd = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 40;
    const shown = text.length > LENGTH ? `${text.slice(0, LENGTH)} … ${text.length} characters` : text;
    const sign = { sent: "→ sent", got: "← got", note: "·" }[kind];
    this.log.append(h("li", { class: kind }, h("time", {}, clock(Date.now())), h("b", {}, sign), h("code", {}, shown)));
    while (this.log.childElementCount > LINES) this.log.firstElementChild.remove();
    if (atEnd) this.log.scrollTop = this.log.scrollHeight;
  }
}
