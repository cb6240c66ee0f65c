// Offers the browser's own time zone where another one is chosen. The person decides; nothing is sent by itself.
for (const form of document.querySelectorAll("form[data-zone]")) {
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const select = form.querySelector("select");
  const offer = form.querySelector("[data-offer]");
  if (offer && here && here !== select.value && [...select.options].some((option) => option.value === here)) {
    offer.querySelector("button").textContent = filled(offer.dataset.offer, { zone: here.replace(/_/g, " ") });
    offer.hidden = false;
    offer.querySelector("button").addEventListener("click", () => { select.value = here; form.requestSubmit(); });
  }
}
