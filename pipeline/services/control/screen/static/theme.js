// Light, dark, or what the system says.

import { byId } from "./dom.js";
import { changed } from "./pace.js";

const listeners = new Set();
const dark = matchMedia("(prefers-color-scheme: dark)");

/** Call `redraw` whenever colours change: what is on a canvas has to be drawn anew. */
export function onTheme(redraw) {
  listeners.add(redraw);
}

/** Return a colour of the theme by its name in style.css. */
export const colour = (name) =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

function tell() {
  for (const redraw of listeners) redraw();
  changed();
}

export function startTheme() {
  const select = byId("theme");
  select.value = document.documentElement.dataset.theme ?? "system";
  select.addEventListener("change", () => {
    if (select.value === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = select.value;
    try {
      localStorage.setItem("screen.theme", select.value);
    } catch { /* for this visit only */ }
    tell();
  });
  dark.addEventListener("change", tell);
}
