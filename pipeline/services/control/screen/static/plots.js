// uPlot in the page's colours: lines over time, drawn anew when the theme or the width changes.

import { onTheme, colour } from "./theme.js";

/* global uPlot */

const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];

export const timeInIndia = (s) => uPlot.tzDate(new Date(s * 1000), "Asia/Kolkata");

/** Axes, grid and size that all charts have. */
export function common(box, { height, y }) {
  const line = { stroke: colour("line"), width: 1 };
  const axis = { stroke: colour("faint"), grid: line, ticks: { ...line, size: 4 },
    font: "11px system-ui, sans-serif" };
  return {
    width: Math.max(box.clientWidth, 200),
    height,
    tzDate: timeInIndia,
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, points: { size: 6 } },
    axes: [{ ...axis, space: 76, values: hours, incrs: STEPS_S, size: 26 }, { ...axis, ...y, size: 58, gap: 3 }],
    padding: [8, 28, 0, 0],
  };
}

function hours(plot, splits, axis, space, step) {
  const two = (number) => String(number).padStart(2, "0");
  return splits.map((at) => {
    const when = timeInIndia(at);
    const text = `${two(when.getHours())}:${two(when.getMinutes())}`;
    return step < 60 ? `${text}:${two(when.getSeconds())}` : text;
  });
}

/** A chart that can be made anew: `options(box)` says how it looks now. */
export class Plot {
  constructor(box, options) {
    Object.assign(this, { box, options });
    this.plot = null;
    this.data = null;
    onTheme(() => this.rebuild());
    new ResizeObserver(() => this.fit()).observe(box);
  }

  show(data) {
    this.data = data;
    if (this.plot !== null) this.plot.setData(data);
    else if (this.box.clientWidth > 0) this.plot = new uPlot(this.options(this.box), data, this.box);
  }

  clear() {
    this.plot?.destroy();
    this.plot = null;
    this.data = null;
  }

  rebuild() {
    const data = this.data;
    this.clear();
    if (data !== null) this.show(data);
  }

  fit() {
    const width = Math.max(this.box.clientWidth, 200);
    if (this.plot !== null && this.plot.width !== width) {
      this.plot.setSize({ width, height: this.plot.height });
    }
  }
}
