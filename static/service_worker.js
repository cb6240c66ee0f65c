// Shows what is pushed, opens the page it links to, and says so when there is no network. Pages are never kept: what they show
// would be old, and would lie in the browser's storage.
const KEPT = "counterseal-offline-4";
const OFFLINE = "/offline";

// The page for no network is kept in the language of the page that was seen last.
const keep = async (language) => {
  const cache = await caches.open(KEPT);
  const kept = await cache.match(OFFLINE, { ignoreVary: true });
  if (kept?.headers.get("Content-Language") !== language) await cache.add(new Request(OFFLINE, { cache: "reload" }));
};
const loaded = async (event) => {
  const answer = await fetch(event.request);
  const language = answer.headers.get("Content-Language");
  if (language) event.waitUntil(keep(language).catch(() => {}));
  return answer;
};

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(KEPT).then((cache) => cache.addAll([OFFLINE, "/static/app.css", "/static/seal.svg"])));
  self.skipWaiting();
});

self.addEventListener("activate", (event) => {
  event.waitUntil((async () => {
    for (const name of await caches.keys()) if (name !== KEPT) await caches.delete(name);
    await self.clients.claim();
  })());
});

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || url.origin !== self.location.origin) return;
  if (event.request.mode === "navigate") {
    event.respondWith(loaded(event).catch(() => caches.match(OFFLINE, { ignoreVary: true })));
  } else if (["/static/app.css", "/static/seal.svg"].includes(url.pathname)) {
    event.respondWith(fetch(event.request).catch(() => caches.match(url.pathname)));
  }
});

// Of a message that cannot be read: in the language of the page for no network, which carries it.
const unread = async () => {
  const kept = await caches.match(OFFLINE, { ignoreVary: true });
  return /<meta name="unread" content="([^"<>&]+)">/.exec(kept ? await kept.text() : "")?.[1] ?? "Something waits for you.";
};

self.addEventListener("push", (event) => {
  let told = {};
  try { told = event.data.json() ?? {}; } catch { told = {}; }
  const title = typeof told.title === "string" ? told.title : "Counterseal";
  const link = typeof told.link === "string" && told.link.startsWith("/") && !told.link.startsWith("//") ? told.link : "/";
  event.waitUntil((async () => {
    const body = typeof told.body === "string" ? told.body : await unread();
    await self.registration.showNotification(title, { body, icon: "/static/icon-192.png", badge: "/static/seal.svg", tag: link, renotify: true, data: { link } });
  })());
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const url = new URL(event.notification.data.link, self.location.origin);
  if (url.origin === self.location.origin) event.waitUntil(self.clients.openWindow(url.href));
});
