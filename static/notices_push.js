// Push in this browser: offered where it exists, and asked for only when the person presses the button.
(() => {
  const part = document.querySelector("[data-push]");
  if (!part || !("serviceWorker" in navigator) || !("PushManager" in window) || !("Notification" in window)) return;
  const said = part.querySelector("[data-said]");
  const join = part.querySelector("[data-subscribe]");
  const leave = part.querySelector("[data-unsubscribe]");
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (char) => char.charCodeAt(0));

  const show = (subscribed) => {
    part.hidden = false;
    document.querySelector("[data-push-none]").hidden = true;
    join.hidden = subscribed;
    leave.hidden = !subscribed;
  };

  const subscribe = async (registration) => {
    if ((await Notification.requestPermission()) !== "granted") {
      said.textContent = said.dataset.refused;
      return;
    }
    const answer = await fetch(part.dataset.push, { headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error("no key");
    const { key } = await answer.json();
    const made = await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytes(key) });
    join.elements.subscription.value = JSON.stringify(made);
    join.submit();
  };

  const start = async () => {
    const registration = await navigator.serviceWorker.register("/service-worker.js");
    await navigator.serviceWorker.ready;
    show(Boolean(await registration.pushManager.getSubscription()));
    join.addEventListener("submit", (event) => {
      event.preventDefault();
      subscribe(registration).catch(() => { said.textContent = said.dataset.away; });
    });
    leave.addEventListener("submit", async (event) => {
      event.preventDefault();
      const found = await registration.pushManager.getSubscription();
      if (found) {
        leave.elements.endpoint.value = found.endpoint;
        await found.unsubscribe();
      }
      leave.submit();
    });
  };
  start().catch(() => {});
})();
