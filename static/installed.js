// The installed app says so when there is no network, also where nobody ever asked for push. In a browser's tab nothing is registered.
if ("serviceWorker" in navigator && matchMedia("(display-mode: standalone)").matches) {
  navigator.serviceWorker.register("/service-worker.js").catch(() => {});
}
