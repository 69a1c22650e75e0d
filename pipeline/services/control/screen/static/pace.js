// Who draws, and when: at most four times a second, not at all while nobody sees the page.

const INTERVAL_MS = 250;
const painters = new Set();
let dirty = false;

/** Call `paint` with each turn in which something has changed. */
export function onPaint(paint) {
  painters.add(paint);
}

/** Say that something has changed. */
export function changed() {
  dirty = true;
}

function turn() {
  if (!dirty || document.hidden) return;
  dirty = false;
  for (const paint of painters) {
    try {
      paint();
    } catch (error) {
      reportError(error); // told, and no reason for the other parts to stand still
    }
  }
}

/** Begin. Ages grow by themselves, so that a second is a change, too. */
export function startPainting() {
  setInterval(turn, INTERVAL_MS);
  setInterval(changed, 1000);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) changed();
  });
}
