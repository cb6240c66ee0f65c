// A list that is open never moves the row that somebody points at, or that has the focus. Its rows keep their places and heights; what
// comes or goes above them all the same (a heading, what needs somebody at once) is scrolled away, and where there is nothing to
// scroll, room is made for it at the list's own ends.
{
  const ends = { above: 0, below: 0 };
  let row = null, top = 0, asked = false;

  const held = (part) => part.querySelector(".rows > li:hover") ?? document.activeElement.closest(".rows > li");
  const settle = (part) => {
    if (!row?.isConnected) return;
    let by = row.getBoundingClientRect().top - top;
    if (Math.abs(by) < 1) return;
    const given = Math.min(Math.max(by, 0), ends.above);
    ends.above -= given;
    by -= given;
    const lower = document.documentElement.scrollHeight - window.innerHeight - window.scrollY;
    ends.below += Math.max(0, by - Math.max(0, lower));
    const raised = Math.max(0, -by - window.scrollY);
    ends.above += raised;
    part.style.paddingBlock = `${ends.above}px ${ends.below}px`;
    window.scrollBy({ top: by + raised, behavior: "instant" });
  };

  document.addEventListener("htmx:before:swap", (event) => {
    row = event.target.matches("#queue, #start") ? held(event.target) : null;
    if (row) top = row.getBoundingClientRect().top;
  });
  document.addEventListener("htmx:after:swap", (event) => {
    const part = event.target;
    if (!part.matches("#queue, #start")) return;
    // What was clicked to show the new ones is gone afterwards: the focus goes to the list, not to nowhere.
    if (asked) { asked = false; row = null; part.querySelector(".rows a.go")?.focus(); }
    settle(part);
    requestAnimationFrame(() => { settle(part); row = null; });  // the browser may have scrolled by itself meanwhile
  });
  document.addEventListener("click", (event) => { if (event.target.closest("[data-fresh]")) asked = true; });
}
