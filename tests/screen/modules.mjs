// Ask the page's modules that need no page: lines of JSON in, one line with the answers out.

import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";

const folder = process.argv[2];

/** Load a module without imports, whatever this node takes a file of that name for. */
async function load(name) {
  const text = await readFile(`${folder}/${name}`, "utf8");
  return import(`data:text/javascript,${encodeURIComponent(text)}`);
}

const figures = await load("figures.js");
const { Candles } = await load("candles.js");
const { emptyRecord, takeTick } = await load("records.js");

const ask = {
  figure: ({ name, value }) => figures[name](value),
  candles({ ticks, seconds }) {
    const made = new Candles();
    for (const [ms, price, total] of ticks) made.add(ms, price, total ?? undefined);
    return made.of(seconds);
  },
  record({ ticks }) {
    const made = emptyRecord();
    ticks.forEach((tick, at) => takeTick(made, tick, at + 1));
    return made;
  },
};
const answers = [];
for await (const line of createInterface({ input: process.stdin })) {
  const { about, ...rest } = JSON.parse(line);
  answers.push(ask[about](rest));
}
console.log(JSON.stringify(answers));
