// What this browser remembers; without storage, for as long as the page is open.

const here = new Map();

export function recall(name, otherwise) {
  try {
    const text = localStorage.getItem(`screen.${name}`);
    return text === null ? here.get(name) ?? otherwise : JSON.parse(text);
  } catch {
    return here.get(name) ?? otherwise;
  }
}

export function remember(name, value) {
  here.set(name, value);
  try {
    localStorage.setItem(`screen.${name}`, JSON.stringify(value));
  } catch { /* private mode, or full */ }
}
