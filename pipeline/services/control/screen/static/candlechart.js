// Candles, drawn on uPlot's canvas.

import { price } from "./figures.js";
import { Plot, common } from "./plots.js";
import { colour } from "./theme.js";

/* global uPlot */

const HEIGHT = 250;
const SHOWN = 90;

export class CandleChart {
  constructor(box) {
    this.step = 5;
    this.plot = new Plot(box, (where) => this.options(where));
  }

  /** rows: of candles.js, the oldest first. */
  show(rows, step) {
    this.step = step;
    if (!rows.length) {
      this.clear();
      return;
    }
    const shown = rows.slice(-SHOWN);
    this.plot.show([shown.map((row) => row.at), shown.map((row) => row.open),
      shown.map((row) => row.high), shown.map((row) => row.low), shown.map((row) => row.close)]);
  }

  clear() {
    this.plot.clear();
  }

  options(box) {
    const hidden = { paths: () => null, points: { show: false } };
    const chosen = common(box, { height: HEIGHT,
      y: { values: (plot, splits) => splits.map((value) => price(value)), size: 74 } });
    chosen.axes[1].size = 74;
    return {
      ...chosen,
      scales: {
        x: { range: (plot, low, high) => this.range(low, high) },
        y: { range: (plot, low, high) => padded(low, high) },
      },
      series: [{}, hidden, hidden, hidden, hidden],
      hooks: { draw: [(plot) => this.draw(plot)] },
    };
  }

  /** At least thirty candles wide, so that the first ones are no blocks. */
  range(low, high) {
    return [Math.min(low, high - 29 * this.step) - this.step, high + this.step];
  }

  draw(plot) {
    const { ctx, data: [times, opens, highs, lows, closes] } = plot;
    const up = colour("up");
    const down = colour("down");
    const step = Math.abs(plot.valToPos(times[0] + this.step, "x", true) - plot.valToPos(times[0], "x", true));
    const width = Math.max(1, Math.round(step * 0.64));
    const y = (value) => Math.round(plot.valToPos(value, "y", true));
    ctx.save();
    times.forEach((time, at) => {
      const x = Math.round(plot.valToPos(time, "x", true));
      const rises = closes[at] >= opens[at];
      ctx.fillStyle = rises ? up : down;
      ctx.strokeStyle = ctx.fillStyle;
      const wick = Math.max(1, Math.round(uPlot.pxRatio));
      ctx.fillRect(x - wick / 2, y(highs[at]), wick, Math.max(1, y(lows[at]) - y(highs[at])));
      const top = y(Math.max(opens[at], closes[at]));
      const size = Math.max(wick, y(Math.min(opens[at], closes[at])) - top);
      ctx.fillRect(x - width / 2, top, width, size);
    });
    ctx.restore();
  }
}

function padded(low, high) {
  if (low === null || high === null) return [0, 1];
  const room = Math.max((high - low) * 0.08, Math.abs(high) * 1e-5, 1e-6);
  return [low - room, high + room];
}
