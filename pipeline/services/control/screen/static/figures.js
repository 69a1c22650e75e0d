// Numbers, times and sizes as people read them; the same rules as the terminal's tables.

/** 0, 999, 12.3k, 4.56M. */
export function count(value) {
  if (value === null || value === undefined) return "–";
  let left = Number(value);
  for (const suffix of ["", "k", "M", "G", "T"]) {
    if (Math.abs(left) < 999.5 || suffix === "T") {
      if (suffix === "") return left.toFixed(0);
      const digits = Math.abs(left) < 9.995 ? 2 : Math.abs(left) < 99.95 ? 1 : 0;
      return left.toFixed(digits) + suffix;
    }
    left /= 1000;
  }
  return String(value);
}

/** 9,000. */
export const whole = (value) =>
  value === null || value === undefined ? "–" : Math.round(value).toLocaleString("en-IN");

/** 0.4 s, 12 s, 3m05s, 2h03m, 5d04h. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "–";
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const all = Math.floor(seconds + 0.5);
  const two = (number) => String(number).padStart(2, "0");
  if (all < 60) return `${all} s`;
  if (all < 3600) return `${Math.floor(all / 60)}m${two(all % 60)}s`;
  if (all < 86400) return `${Math.floor(all / 3600)}h${two(Math.floor((all % 3600) / 60))}m`;
  return `${Math.floor(all / 86400)}d${two(Math.floor((all % 86400) / 3600))}h`;
}

/** 850 ns, 12.3 µs, 4.56 ms, 1.20 s. */
export function latency(ns) {
  if (ns === null || ns === undefined) return "–";
  let left = Number(ns);
  for (const suffix of ["ns", "µs", "ms", "s"]) {
    if (left < 999.5 || suffix === "s") {
      if (suffix === "ns") return `${left.toFixed(0)} ns`;
      const digits = left < 9.995 ? 2 : left < 99.95 ? 1 : 0;
      return `${left.toFixed(digits)} ${suffix}`;
    }
    left /= 1000;
  }
  return String(ns);
}

/** 3.4 kB. */
export const bytes = (value) => (value === null || value === undefined ? "–" : `${count(value)}B`);

/** 44.0 MiB. */
export const mebibytes = (size) => `${(size / 2 ** 20).toFixed(1)} MiB`;

/** A price with the digits it needs: 2, or up to 7 for currencies. */
export function price(value) {
  if (typeof value !== "number" || !Number.isFinite(value)) return "–";
  const text = String(value);
  const digits = text.includes("e") ? 7 : (text.split(".")[1] ?? "").length;
  const shown = Math.min(7, Math.max(2, digits));
  return value.toLocaleString("en-IN", { minimumFractionDigits: shown, maximumFractionDigits: shown });
}

/** +1.23 %. */
export function percent(value) {
  if (typeof value !== "number" || !Number.isFinite(value)) return "–";
  return `${value > 0 ? "+" : ""}${value.toFixed(2)} %`;
}

const CLOCK = new Intl.DateTimeFormat("en-GB", {
  timeZone: "Asia/Kolkata", hour: "2-digit", minute: "2-digit", second: "2-digit",
});
const DAY = new Intl.DateTimeFormat("en-GB", {
  timeZone: "Asia/Kolkata", day: "2-digit", month: "short",
});

/** 14:05:09 in India; the day before it if that is not today. */
export function clock(ms) {
  if (!ms) return "–";
  const when = new Date(ms);
  const time = CLOCK.format(when);
  return DAY.format(when) === DAY.format(new Date()) ? time : `${DAY.format(when)} ${time}`;
}

/** first data. */
export const words = (name) => (name ? name.toLowerCase().replaceAll("_", " ") : "");

/** "1 instrument", "9,000 instruments". */
export const plural = (number, noun) => `${whole(number)} ${noun}${number === 1 ? "" : "s"}`;
