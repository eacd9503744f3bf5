"use strict";
// The token stays in this tab: nothing is stored, and it is sent to this lab only.
let headers = null;
let timer = 0;
const by = (id) => document.getElementById(id);

// What a token of the lab says about itself: `client:NAMESPACE:NAME:UID`.
function subject(token) {
  try {
    const claims = token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/");
    return String(JSON.parse(atob(claims)).sub).split(":");
  } catch {
    return [];
  }
}

function row(cells) {
  const line = document.createElement("tr");
  for (const cell of cells) {
    // Text, never markup: names and messages are other people's.
    line.appendChild(document.createElement("td")).textContent = cell ?? "";
  }
  return line;
}

function show(lab) {
  const held = new Map(lab.leases.filter((lease) => lease.exporter).map((lease) => [lease.exporter, lease]));
  by("exporters").replaceChildren(...lab.exporters.map((exporter) => {
    const lease = held.get(exporter.name);
    const labels = Object.entries(exporter.labels).map(([key, value]) => `${key}=${value}`).sort().join(" ");
    const status = [exporter.online ? exporter.status : "OFFLINE", exporter.message].filter(Boolean).join(": ");
    return row([exporter.name, status, lease ? `${lease.client}: ${lease.name}` : "", labels]);
  }));
  by("leases").replaceChildren(...lab.leases.map((lease) => {
    const end = lease.begin && lease.seconds ? new Date((lease.begin + lease.seconds) * 1000).toLocaleString() : "";
    const asked = [lease.wanted, lease.selector].filter(Boolean).join(" ");
    const state = [lease.reason, lease.message].filter(Boolean).join(": ");
    return row([lease.name, lease.client, asked, lease.exporter, state, end]);
  }));
  by("when").textContent = `as of ${new Date().toLocaleTimeString()}`;
  by("lab").hidden = false;
  by("enter").hidden = true;
}

async function look() {
  clearTimeout(timer);
  if (!headers) return;
  try {
    const answer = await fetch("/v1/status", { headers, cache: "no-store" });
    const body = await answer.json();
    if (!answer.ok) throw new Error(body.message);
    by("problem").textContent = "";
    show(body);
  } catch (error) {
    by("problem").textContent = error.message;
  }
  // A page that nobody sees asks for nothing.
  if (!document.hidden) timer = setTimeout(look, 10000);
}

by("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  const token = by("token").value.trim();
  const [kind, namespace, name] = subject(token);
  const own = kind === "client";
  headers = {
    authorization: `Bearer ${token}`,
    "jumpstarter-kind": "Client",
    "jumpstarter-namespace": own ? namespace : "default",
    "jumpstarter-name": by("name").value.trim() || (own ? name : ""),
  };
  look();
});
by("again").addEventListener("click", look);
by("leave").addEventListener("click", () => {
  headers = null;
  by("token").value = "";
  by("lab").hidden = true;
  by("enter").hidden = false;
});
document.addEventListener("visibilitychange", look);
by("login").textContent = `jmp login CLIENT@${location.origin}`;
