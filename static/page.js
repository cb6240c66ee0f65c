// What every page may use. Nothing here decides anything: the server does.

// Sentences are the page's, in its reader's language: `data-` of <template id="words">, with %(name)s for each value.
const words = document.getElementById("words")?.dataset ?? {};
const filled = (sentence, values = {}) => (sentence ?? "").replace(/%\((\w+)\)s/g, (whole, name) => values[name] ?? whole);

// A form sends once: a second click would only meet a conflict.
let onItsWay = false;
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.dataset.again !== undefined) return;
  const button = event.submitter || form.querySelector("button:not([type=button])");
  if (form.dataset.sent) { event.preventDefault(); return; }
  form.dataset.sent = "1";
  onItsWay = true;
  if (button) { button.setAttribute("aria-busy", "true"); }
});
window.addEventListener("pageshow", () => {
  onItsWay = false;
  for (const form of document.querySelectorAll("form[data-sent]")) {
    delete form.dataset.sent;
    for (const button of form.querySelectorAll("[aria-busy]")) button.removeAttribute("aria-busy");
  }
});

// A page that moves on loads itself again: not while one of its forms is on its way. The answer to that would be lost, and with it
// what was typed and why it was not taken. If no answer comes, it loads itself after all.
let later = 0;
document.addEventListener("htmx:after:request", (event) => {
  const asked = event.detail.ctx.hx || {};
  if (asked.refresh !== "true" && !asked.redirect || !onItsWay) return;
  event.preventDefault();
  later ||= setTimeout(() => { if (asked.redirect) location.assign(asked.redirect); else location.reload(); }, 60000);
});
window.addEventListener("pageshow", () => { clearTimeout(later); later = 0; });

// Copy a value that a person has to carry elsewhere.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const source = document.querySelector(button.dataset.copy);
  await navigator.clipboard.writeText(source.textContent.trim());
  button.textContent = words.copied;
});

// Countdowns: <time data-until="RFC 3339">, redrawn each second from the clock, never from a counter.
const left = (ms) => {
  const s = Math.max(0, Math.floor(ms / 1000)), d = Math.floor(s / 86400), h = Math.floor(s / 3600) % 24, m = Math.floor(s / 60) % 60;
  if (s <= 0) return words.expired;
  if (d) return filled(words.days, { days: d, hours: h });
  if (h) return filled(words.hours, { hours: h, minutes: String(m).padStart(2, "0") });
  if (m) return filled(words.minutes, { minutes: m });
  return filled(words.seconds, { seconds: s });
};
const runs = (ms) => ms > 0 ? filled(words.runs, { seconds: Math.ceil(ms / 1000) }) : words.now;
setInterval(() => {
  for (const time of document.querySelectorAll("time[data-until], time[data-runs]")) {
    const ms = Date.parse(time.dateTime) - Date.now(), text = "runs" in time.dataset ? runs(ms) : left(ms);
    if (time.textContent !== text) time.textContent = text;
  }
}, 1000);

// A stream that was refused at first, or to which no answer came, is not asked for again by itself: it is, a little later, so that the
// page does not stay behind. Not by all pages at one moment. htmx begins before its extension for streams is there, where that is
// slow to come, and then asks for none: so it is also looked for streams that are missing for longer than one may take to open.
const lacking = new WeakMap(), asked = new WeakSet();
const parts = () => document.querySelectorAll("[hx-sse\\:connect]");
const streamless = (part) => part.isConnected && !part._htmx?.sse;
const reopen = (part) => { if (streamless(part)) htmx.ajax("GET", part.getAttribute("hx-sse:connect"), { source: part }); };
document.addEventListener("htmx:before:request", (event) => asked.add(event.target));
window.addEventListener("load", () => setTimeout(() => { for (const part of parts()) if (!asked.has(part)) reopen(part); }, 1000));
for (const name of ["htmx:response:error", "htmx:error"]) document.addEventListener(name, (event) => {
  const part = event.target;
  if (!part.getAttribute || !part.getAttribute("hx-sse:connect") || !streamless(part)) return;
  lacking.delete(part);
  setTimeout(reopen, 8000 + 8000 * Math.random(), part);
});
setInterval(() => {
  for (const part of parts()) {
    if (!streamless(part)) lacking.delete(part);
    else if (!lacking.has(part)) lacking.set(part, Date.now());
    else if (Date.now() - lacking.get(part) > 35000) { lacking.delete(part); reopen(part); }
  }
}, 5000);

// Who was signed out meanwhile, here or at the identity provider, is led away: what was theirs does not stay on the screen. htmx
// goes where the answer to a page's own request says, and not where the one to a stream does that it asks for again. A form that is
// on its way gets an answer of its own.
document.addEventListener("htmx:sse:error", (event) => {
  if (event.detail.status !== 401 || onItsWay) return;
  location.assign(`/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`);
});

// On a narrow screen the page one is on is in view among the others.
for (const here of document.querySelectorAll(".bar nav [aria-current], .tools [aria-current]")) {
  const list = here.parentElement;
  list.scrollLeft = here.offsetLeft - list.offsetLeft - (list.clientWidth - here.offsetWidth) / 2;
}
