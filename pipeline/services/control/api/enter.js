// Hands in the ticket behind the address's #, once, and loads the page that the session opens.
"use strict";

const HOW = "Open the address that this command prints: python -m pipeline screen";

function say(title, text) {
  document.querySelector("h1").textContent = title;
  document.querySelector("#said").textContent = text;
}

async function enter() {
  const ticket = new URLSearchParams(location.hash.slice(1)).get("ticket");
  history.replaceState(null, "", "/"); // neither in the history nor in what is copied
  const asked = ticket
    ? { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ ticket }) }
    : {};
  const answer = await fetch("/auth/session", { ...asked, cache: "no-store" });
  if (answer.ok && (!ticket || (await fetch("/auth/session", { cache: "no-store" })).ok)) {
    location.replace("/");
    return;
  }
  const found = await answer.json();
  if (answer.ok) {
    say("No cookies", "This browser keeps no cookie of this page, and the session is one.");
  } else {
    say(ticket ? "That did not work" : "Not signed in", ticket ? found.detail : HOW);
  }
}

addEventListener("hashchange", () => location.reload()); // another ticket, in the same tab
enter().catch(() => say("No answer", "The instance does not answer. " + HOW));
