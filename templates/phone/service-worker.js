// Keeps the phone page's shell, so that a code can be shown without network. Codes, keys and
// answers of the API never pass through here.

const SHELL = "vpass-phone-{{ version }}";
const FILES = [{% for url in shell %}"{{ url }}"{% if not forloop.last %}, {% endif %}{% endfor %}];

self.addEventListener("install", (event) => {
  const fresh = FILES.map((url) => new Request(url, { cache: "reload", credentials: "omit" }));
  event.waitUntil(
    caches
      .open(SHELL)
      .then((cache) => cache.addAll(fresh))
      .then(() => self.skipWaiting()),
  );
});

self.addEventListener("activate", (event) => {
  const drop = (names) =>
    names.filter((name) => name.startsWith("vpass-phone-") && name !== SHELL).map((name) => caches.delete(name));
  event.waitUntil(
    caches
      .keys()
      .then((names) => Promise.all(drop(names)))
      .then(() => self.clients.claim()),
  );
});

// One version of the shell is served whole; a new one takes its place at the next visit.
self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || url.origin !== self.location.origin) return;
  const name = event.request.mode === "navigate" && url.pathname === "/phone/" ? "/phone/" : url.pathname;
  if (!FILES.includes(name)) return;
  event.respondWith(
    caches
      .open(SHELL)
      .then((cache) => cache.match(name))
      .then((kept) => kept ?? fetch(event.request)),
  );
});
