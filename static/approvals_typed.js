// What somebody has typed outlives the page: it loads itself again when the action moves on. Kept in this tab alone, and forgotten
// when it is sent. Where there is no field for it any more, it is shown.
(() => {
  // By the action, whatever was done to it: after a refusal the page has the address of the form.
  const key = (name) => `typed ${location.pathname.split("/").slice(0, 3).join("/")} ${name}`;
  const fields = () => document.querySelectorAll("main textarea[name]");

  for (const field of fields()) {
    const kept = sessionStorage.getItem(key(field.name));
    if (field.value) sessionStorage.setItem(key(field.name), field.value);
    if (kept === null || field.value) continue;
    field.value = kept;
    field.closest("details")?.setAttribute("open", "");
  }
  const box = document.getElementById("typed");
  const lost = fields().length ? null : sessionStorage.getItem(key("reason"));
  if (box && lost && box.hidden) {
    box.querySelector("p").textContent = lost;
    box.hidden = false;
  }
  document.addEventListener("input", (event) => {
    if (!event.target.matches("main textarea[name]")) return;
    if (event.target.value) sessionStorage.setItem(key(event.target.name), event.target.value);
    else sessionStorage.removeItem(key(event.target.name));
  });
  document.addEventListener("submit", (event) => {
    for (const field of event.target.querySelectorAll("textarea[name]")) sessionStorage.removeItem(key(field.name));
  });
})();
