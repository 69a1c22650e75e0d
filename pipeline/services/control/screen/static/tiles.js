// The summary in a row of tiles, the line about problems, and whether all of it is fresh.

import { byId, h, keepChildren, setAttribute, setText } from "./dom.js";
import { bytes, clock, count, duration, latency, mebibytes, plural, whole, words } from "./figures.js";
import { onPaint } from "./pace.js";

const PROBLEMS_SHOWN = 6;

export class Summary {
  constructor(state, gateway) {
    Object.assign(this, { state, gateway });
    onPaint(() => this.paint());
  }

  paint() {
    this.paintLine("line-figures", this.figuresLine());
    this.paintLine("line-prices", this.pricesLine());
    const found = this.state.document;
    const fresh = this.state.phase === "live";
    document.body.toggleAttribute("data-stale", !fresh);
    this.paintNotices(found);
    if (found === null || !found.instance) return;
    this.paintHead(found, fresh);
    keepChildren(byId("tiles"), tiles(found), (tile) => tile.name, makeTile, fillTile);
  }

  paintHead(found, fresh) {
    const { instance } = found;
    setText(byId("name"), instance.name);
    document.title = `${instance.name} · pipeline`;
    const text = instance.live ? instance.state.toLowerCase() : "dead";
    setText(byId("instance-state"), fresh ? text : `was ${text}`);
    const tone = !fresh ? "idle" : instance.live && instance.state === "RUNNING" ? "good" : "bad";
    setAttribute(byId("instance-state"), "data-tone", tone);
    const whose = found.owner ? ` · the part of ${found.owner}` : "";
    setText(byId("uptime"),
      `up ${duration(instance.uptime_s)} · ${mebibytes(instance.shm_bytes)} shared${whose}`);
  }

  paintLine(id, [tone, text]) {
    const line = byId(id);
    setAttribute(line, "data-tone", tone);
    setText(line.lastElementChild, text);
  }

  figuresLine() {
    const since = clock(this.state.since);
    switch (this.state.phase) {
      case "live": return ["good", `live since ${since}`];
      case "lost": return ["bad", `disconnected since ${since}`];
      case "expired": return ["bad", `session expired at ${since}`];
      default: return ["idle", "connecting"];
    }
  }

  pricesLine() {
    const { phase, text } = this.gateway;
    const since = clock(this.gateway.since);
    switch (phase) {
      case "live": return ["good", `live since ${since}`];
      case "lost": return ["bad", `disconnected since ${since}`];
      case "refused": return ["bad", `refused since ${since}: ${text}`];
      case "absent": return ["idle", "none: no gateway"];
      case "expired": return ["bad", `session expired at ${since}`];
      default: return ["idle", "connecting"];
    }
  }

  paintNotices(found) {
    const notices = [];
    if (this.state.phase === "expired" || this.gateway.phase === "expired") {
      notices.push(["bad", "Your session has ended. Open the address that this command prints:",
        "python -m pipeline screen"]);
    }
    if (this.state.phase === "lost") {
      notices.push(["bad", found === null
        ? "The control process does not answer; there are no figures yet."
        : "The control process does not answer; the page tries again. Below is what was known at " +
          `${clock(found.taken_ts_ns / 1e6)}.`]);
    }
    if (found?.unreadable) notices.push(["bad", found.unreadable]);
    if (this.gateway.phase === "absent") {
      notices.push(["idle", "There are no prices here: this instance has no gateway. All else is shown. " +
        (this.gateway.text || "A [gateway] section in its config starts one.")]);
    }
    if (this.state.phase === "live") notices.push(...problems(found));
    keepChildren(byId("notices"), notices, ([, text]) => text, makeNotice, () => {});
  }
}

function problems(found) {
  const alerts = (found.alerts?.open ?? []).map((one) =>
    [one.severity === "warning" ? "warn" : "bad",
      `${one.subject}: ${one.text} (since ${clock(one.since_ts_ns / 1e6)})`]);
  const lines = (found.problems ?? []).map((text) => ["warn", text]);
  const all = [...alerts, ...lines];
  const rest = all.length - PROBLEMS_SHOWN;
  return rest > 0 ? [...all.slice(0, PROBLEMS_SHOWN), ["warn", `and ${plural(rest, "problem")} more`]] : all;
}

function makeNotice([tone, text, command]) {
  return h("p", { class: "notice", "data-tone": tone }, text, command ? [" ", h("code", {}, command)] : null);
}

function tiles(found) {
  const { connections, pool } = found;
  const live = connections.filter((one) => one.state === "LIVE").length;
  const total = (name) => connections.reduce((sum, one) => sum + (one[name] ?? 0), 0);
  const rated = connections.some((one) => one.ticks_per_s !== null);
  const slowest = found.decoders.map((one) => one.latency).filter(Boolean)
    .sort((one, other) => other.p99_ns - one.p99_ns)[0];
  return [
    tile("Health", pool ? pool.score.toFixed(0) : "–", pool ? words(pool.state) : "no pool",
      tone(pool?.state)),
    tile("Connections", `${live} / ${connections.length}`, connections.length ? "live" : "none is open",
      !connections.length ? "idle" : live === connections.length ? "good" : "warn"),
    tile("Instruments", whole(total("confirmed")), `ticking, of ${whole(total("assigned"))} assigned`,
      !total("assigned") ? "idle" : total("confirmed") < total("assigned") ? "warn" : "good"),
    tile("Ticks", rated ? count(total("ticks_per_s")) : "–", `a second, ${count(total("ticks"))} in all`),
    tile("Bytes", rated ? bytes(total("bytes_per_s")) : "–", "a second"),
    tile("Latency p99", slowest ? latency(slowest.p99_ns) : "–",
      slowest ? `p50 ${latency(slowest.p50_ns)}, to publish` : "no ticks in the last 2 s"),
    tile("Gaps", count(total("gaps")), plural(total("reconnects"), "reconnect"),
      total("gaps") ? "warn" : "good"),
    tile("Lost frames", count(total("lost")), total("lost") ? "counted, announced" : "none",
      total("lost") ? "bad" : "good"),
  ];
}

const tile = (name, value, note, tone = "idle") => ({ name, value, note, tone });

const tone = (state) =>
  ({ healthy: "good", warning: "warn", degraded: "warn", critical: "bad" })[state] ?? "idle";

function makeTile(tile) {
  return h("div", { class: "tile" }, h("span", { class: "faint" }, tile.name), h("b"), h("small"));
}

function fillTile(element, tile) {
  setAttribute(element, "data-tone", tile.tone);
  setText(element.children[1], tile.value);
  setText(element.children[2], tile.note);
}
