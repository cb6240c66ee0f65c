// A sign-in link carries its secret in the fragment, which no server sees. Take it out of the address bar and spend it.
const form = document.querySelector("form[data-enter]");
if (form && location.hash.length > 1) {
  form.elements.link.value = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  if (form.dataset.refused === undefined) form.requestSubmit();
}
