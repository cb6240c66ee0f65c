// Says when a page is behind: its stream is broken, or what it shows could not be read again. A page that is not told of changes
// must not say that nothing waits.
{
  const LATE = 40000;  // the server says every 15 s that it is there
  const behind = { stream: false, part: false };
  const GRACE = 4000;  // a stream that ends by its time is there again after two seconds: that is no news
  let told = Date.now(), broken = 0, stream = null, opened = Date.now();

  const show = () => {
    const notice = document.getElementById("stale"), bad = behind.stream || behind.part;
    if (!notice || notice.hidden === !bad) return;
    if (bad) {
      const time = notice.querySelector("time");
      time.dateTime = new Date(told).toISOString();
      time.textContent = new Date(told).toLocaleTimeString(document.documentElement.lang, { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: notice.dataset.zone });
      document.documentElement.dataset.stale = "";
    } else delete document.documentElement.dataset.stale;
    notice.hidden = !bad;
  };
  const heard = () => { told = Date.now(); broken = 0; behind.stream = false; show(); };
  const late = () => { if (broken && Date.now() - broken >= GRACE) { behind.stream = true; show(); } };
  const lost = () => { if (!broken) { broken = Date.now(); setTimeout(late, GRACE + 100); } };
  const silent = () => {
    if (Date.now() - told <= LATE) return;
    lost();
    if (Date.now() - opened <= LATE) return;
    opened = Date.now();
    stream?.reader?.cancel();  // nobody says so of a connection that died while the machine slept: it is opened anew
  };

  if (document.getElementById("waiting")) {
    const part = (event) => event.target.id === "queue" || event.target.id === "start" || event.target.id === "now";
    const own = (event) => event.target.id === "waiting";
    document.addEventListener("here", heard);
    document.addEventListener("htmx:sse:after:message", (event) => { if (own(event)) heard(); });
    document.addEventListener("htmx:sse:error", (event) => { if (own(event)) lost(); });
    document.addEventListener("htmx:sse:before:connection", (event) => {
      if (!own(event)) return;
      stream = event.detail.connection;
      if (stream.attempt) lost();
    });
    document.addEventListener("htmx:sse:after:connection", (event) => { if (own(event)) opened = Date.now(); });
    document.addEventListener("htmx:sse:close", (event) => { if (own(event)) stream = null; });
    window.addEventListener("online", () => stream?.delayCanceller?.());
    for (const name of ["htmx:response:error", "htmx:error"]) document.addEventListener(name, (event) => {
      if (own(event)) lost();
      else if (part(event)) { behind.part = true; show(); }
    });
    document.addEventListener("htmx:after:swap", (event) => {
      if (!part(event) || event.detail.ctx?.response?.status >= 400) return;  // it comes after a refusal too, which swaps nothing
      behind.part = false;
      show();
      if (document.querySelector("[data-counted]")) {  // the tab's title counts what the page counts
        const count = document.querySelector("#waiting .count");
        document.title = (count ? `(${count.textContent}) ` : "") + document.title.replace(/^\(\d+\+?\) /, "");
      }
    });
    setInterval(silent, 5000);
    document.querySelector("#stale a").addEventListener("click", (event) => { event.preventDefault(); location.reload(); });
  }
}
