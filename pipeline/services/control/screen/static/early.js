// Before anything is drawn: the theme that was chosen here last time.
(() => {
  try {
    const chosen = localStorage.getItem("screen.theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch { /* no storage: the system's theme */ }
})();

// An address with a ticket, in a browser that is in already: it is handed in all the same, for it
// may show another account's prices, and does not stay where it can be copied from.
(() => {
  const handIn = async () => {
    const ticket = new URLSearchParams(location.hash.slice(1)).get("ticket");
    if (!ticket) return;
    history.replaceState(null, "", location.pathname);
    const headers = { "Content-Type": "application/json" };
    const asked = { method: "POST", headers, body: JSON.stringify({ ticket }) };
    if ((await fetch("auth/session", asked)).ok) location.reload();
  };
  const handInOrNot = () => handIn().catch(() => { /* no answer: the page says so itself */ });
  addEventListener("hashchange", handInOrNot);
  handInOrNot();
})();
