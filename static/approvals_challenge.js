// A challenge lives five minutes and a page may be open for longer: fetch a fresh one, over the same document, before it goes stale.
// What cannot be refreshed is said where the decision is made; the server refuses a stale one anyway.
(() => {
  const EVERY = 4 * 60 * 1000;
  const form = document.querySelector("form[data-refresh]");
  if (!form) return;
  let made = Date.now();

  async function refresh() {
    if (document.hidden || Date.now() - made < EVERY || form.querySelector("[aria-busy]")) return;
    made = Date.now();
    const body = new URLSearchParams({ csrf_token: form.elements.csrf_token.value, shown: form.elements.shown.value });
    const answer = await fetch(form.dataset.refresh, { method: "POST", body, headers: { Accept: "application/json" } }).catch(() => null);
    if (!answer || answer.status >= 500) made = 0;  // no answer, or out of service for the moment: try again at the next look
    if (!answer || !answer.ok) return;
    const fresh = await answer.json();
    if (!fresh.options) return;
    form.dataset.options = JSON.stringify(fresh.options);
    form.elements.sealed.value = fresh.sealed;
  }

  setInterval(refresh, 15000);
  document.addEventListener("visibilitychange", refresh);
})();
