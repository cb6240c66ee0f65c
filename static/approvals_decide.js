// Approving is slow on purpose. The button sleeps until what decides (amount, recipient, why it is held) has been in view, and for
// a moment after the page opened or changed. While it sleeps it says why, and pressing it leads to what was not seen yet: it is
// never a trap. Enter never approves. Without JavaScript the button is awake, and the server asks for all it ever asks for.
(() => {
  const place = document.getElementById("decide");
  const buttons = place ? [...place.querySelectorAll("button[data-sleeps]")] : [];
  const why = document.getElementById("asleep");
  if (!buttons.length || !why) return;
  const unseen = new Set(document.querySelectorAll("[data-decisive]"));
  const dwell = Number(place.dataset.dwell) || 0;
  let rested = false, timer = 0;

  const names = () => {
    const all = [...new Set([...unseen].map((one) => one.dataset.decisive))];
    const page = document.documentElement.lang || "en";
    return new Intl.ListFormat(page === "en" ? "en-GB" : page).format(all);
  };

  function draw() {
    const asleep = unseen.size > 0 || !rested;
    why.textContent = unseen.size ? filled(place.dataset.look, { parts: names() }) : asleep ? place.dataset.rest : "";
    why.hidden = false;
    for (const button of buttons) {
      button.toggleAttribute("data-asleep", asleep);
      if (asleep) { button.setAttribute("aria-disabled", "true"); button.setAttribute("aria-describedby", "asleep"); }
      else { button.removeAttribute("aria-disabled"); button.removeAttribute("aria-describedby"); }
    }
  }

  function rest() {
    rested = dwell === 0;
    clearTimeout(timer);
    if (!rested) timer = setTimeout(() => { rested = true; draw(); }, dwell);
    draw();
  }

  function seen(part) {
    if (!unseen.delete(part)) return;
    watcher.unobserve(part);
    draw();
  }

  // On a narrow screen the buttons lie over the lower end of the page: what is under them is not in view.
  const cover = () => {
    const sheet = place.closest(".stick");
    const covers = sheet && getComputedStyle(sheet).position === "sticky" && window.matchMedia("(max-width: 46rem)").matches;
    return covers ? sheet.offsetHeight : 0;  // no more than 60 % of what is shown (app.css)
  };
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) seen(entry.target);
  }, { rootMargin: `0px 0px -${cover()}px 0px`, threshold: 0.5 });
  for (const part of unseen) watcher.observe(part);

  // By keyboard and screen reader nothing may ever scroll: a press leads to the next part, and being led there is having seen it.
  function lead() {
    const [next] = unseen;
    if (!next) return;
    next.tabIndex = -1;
    next.scrollIntoView({ block: "center" });
    next.focus({ preventScroll: true });
    seen(next);
  }
  document.addEventListener("focusin", (event) => {
    for (const part of [...unseen]) if (part.contains(event.target)) seen(part);
  });

  // Before all who listen for clicks and for forms that are sent.
  window.addEventListener("click", (event) => {
    const button = event.target.closest && event.target.closest("button[data-sleeps]");
    if (!button || !button.hasAttribute("data-asleep")) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    lead();
  }, true);
  window.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    const form = event.target.closest && event.target.closest("form");
    // In a radio button Enter presses the first button that is on (HTML, implicit submission): nothing is rejected by accident either.
    if (form && form.action.endsWith("/reject") && event.target.matches("input")) event.preventDefault();
    // In what is written at length it begins a line, and sends nothing.
    if (!form || event.target.matches("textarea") || !form.querySelector("button[data-sleeps]")) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    why.textContent = place.dataset.enter;
  }, true);

  // The live part says who decided: a change there is read before anything is pressed. Its countdowns are no change.
  const live = document.getElementById("now");
  const told = () => { const copy = live.cloneNode(true); copy.querySelectorAll("time").forEach((one) => one.remove()); return copy.textContent; };
  if (live) {
    let before = told();
    new MutationObserver(() => {
      const after = told();
      if (after !== before) { before = after; rest(); }
    }).observe(live, { childList: true, characterData: true, subtree: true });
  }
  window.addEventListener("pageshow", (event) => { if (event.persisted) rest(); });
  rest();
})();
