// The figures: server-sent events of the control process, and what is known when they fail.

import { changed } from "./pace.js";

const RETRY_MS = [500, 1000, 2000, 4000];
//: Two looks a second come; without one for so long the line is as good as dead.
const SILENT_MS = 6000;

/** The newest document, and whether it is fresh: phase is connecting, live, lost or expired. */
export class State extends EventTarget {
  constructor() {
    super();
    this.document = null;
    this.phase = "connecting";
    this.since = Date.now();
    this.happenings = [];
    this.tries = 0;
    this.heard = 0;
  }

  start() {
    this.open();
    // Somebody who has come in again, in another tab, need not reload this one.
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && this.phase === "expired") this.look();
    });
    setInterval(() => {
      if (this.phase === "live" && Date.now() - this.heard > SILENT_MS) this.again();
    }, 1000);
  }

  open() {
    this.source = new EventSource("screen/events");
    this.fresh = true;
    this.source.onmessage = (event) => this.take(JSON.parse(event.data));
    this.source.addEventListener("expired", () => this.expire());
    this.source.onerror = () => this.again();
  }

  take(document) {
    this.heard = Date.now();
    this.tries = 0;
    if (this.fresh || this.document?.instance?.id !== document.instance?.id) this.happenings = [];
    this.fresh = false;
    this.happenings = [...this.happenings, ...document.happenings].slice(-600);
    this.document = document;
    this.become("live");
    this.dispatchEvent(new Event("document"));
    changed();
  }

  become(phase) {
    if (this.phase === phase) return;
    this.phase = phase;
    this.since = Date.now();
    this.dispatchEvent(new Event("phase"));
    changed();
  }

  expire() {
    this.source.close();
    this.become("expired");
  }

  /** Try anew; ask first what is wrong, because an EventSource does not tell. */
  async again() {
    this.source.close();
    if (this.phase === "expired" || this.waiting) return;
    if (this.phase === "live" || this.phase === "connecting") this.become("lost");
    this.waiting = true;
    const pause = RETRY_MS[Math.min(this.tries++, RETRY_MS.length - 1)];
    await new Promise((resolve) => setTimeout(resolve, pause));
    this.waiting = false;
    await this.look();
  }

  async look() {
    try {
      const answer = await fetch("screen/state", { cache: "no-store" });
      if (answer.status === 401 || answer.status === 403) this.expire();
      else if (answer.ok) this.open();
      else this.again();
    } catch {
      this.again();
    }
  }
}
