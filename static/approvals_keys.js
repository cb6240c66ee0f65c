// The queue by keyboard, and what is ticked. Nothing is decided from here: rejecting asks why on a page of its own, and no key approves.
{
  const OFF = "counterseal-keys-off";
  const TYPED = "input:not([type=checkbox]), textarea, select, [contenteditable]";
  const links = () => [...document.querySelectorAll("#queue .rows a.go")];
  const row = () => document.activeElement.closest("#queue .rows > li");
  const ticked = () => [...document.querySelectorAll("#several [name=pick]:checked")];
  const keys = document.getElementById("keys");
  const on = () => { try { return !localStorage.getItem(OFF); } catch { return true; } };

  // "Reject 3…" says how many; without JavaScript the words that the page came with hold.
  const count = () => {
    const many = ticked().length;
    for (const button of document.querySelectorAll("[data-several]")) {
      button.dataset.words ??= button.textContent;
      button.textContent = many ? filled(button.dataset.many, { count: many }) : button.dataset.words;
    }
  };

  // A key means the ticked ones; where none is, the row that has the focus.
  const meant = () => {
    if (ticked().length) return true;
    const box = row()?.querySelector("[name=pick]");
    if (box) { box.checked = true; count(); }
    return Boolean(box);
  };

  const move = (by) => {
    const all = links(), here = row(), at = here ? all.findIndex((link) => here.contains(link)) : -1;
    all[Math.min(Math.max(at + by, 0), all.length - 1)]?.focus();
  };
  const does = {
    j: () => move(1),
    k: () => move(-1),
    o: () => row()?.querySelector("a.go")?.click(),
    x: () => { const box = row()?.querySelector("[name=pick]"); if (box) { box.checked = !box.checked; count(); } },
    r: () => { if (meant()) document.querySelector("#several [data-several=reject]")?.click(); },
    s: () => {
      const later = document.querySelector("#several .later");
      if (later && meant()) { later.open = true; later.querySelector("[name=until]").focus(); }
    },
    n: () => document.querySelector("[data-fresh]")?.click(),
    "?": () => keys.showModal(),
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat && !"jk".includes(event.key)) return;
    if (event.target.closest?.(TYPED) || document.querySelector("dialog[open]") || !on()) return;
    if (Object.hasOwn(does, event.key)) { event.preventDefault(); does[event.key](); }
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches("[name=pick]")) count();
    if (event.target.matches("[data-keys-on]")) {
      try { if (event.target.checked) localStorage.removeItem(OFF); else localStorage.setItem(OFF, "1"); } catch { /* not kept */ }
    }
  });
  document.addEventListener("click", (event) => { if (event.target.closest("[data-open-keys]")) keys.showModal(); });

  document.addEventListener("htmx:after:swap", (event) => { if (event.target.id === "queue") count(); });
  window.addEventListener("pageshow", count);
  document.querySelector("[data-keys]").hidden = false;
  document.querySelector("[data-keys-on]").checked = on();
}
