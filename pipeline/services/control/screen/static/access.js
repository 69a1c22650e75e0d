// How the page gets at prices: the gateway's address, and a key that its session is given.

class NoAccess extends Error {
  constructor(phase, message) {
    super(message);
    this.phase = phase;
  }
}

async function ask(path) {
  const answer = await fetch(path, { cache: "no-store", credentials: "same-origin" });
  let found = {};
  try {
    found = await answer.json();
  } catch { /* an empty body or a proxy's page: the status says enough */ }
  return { status: answer.status, found };
}

/** Return {url, key}; throws with a phase: expired, absent, refused or lost. */
export async function gatewayAccess() {
  const config = await ask("api/websocket/config");
  refuse(config, "absent");
  const key = await ask("api/websocket/apikey");
  refuse(key, "refused");
  return { url: config.found.websocket_url, key: key.found.api_key };
}

/** `missing`: what it means that there is none. */
function refuse({ status, found }, missing) {
  if (status === 401 || status === 403) throw new NoAccess("expired", "");
  if (status === 404) throw new NoAccess(missing, found.message ?? found.detail ?? "");
  if (status !== 200) throw new NoAccess("lost", found.message ?? found.detail ?? `status ${status}`);
}
