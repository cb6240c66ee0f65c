// A sign-in link carries its secret in the fragment, which no server sees. Take it out of the address bar and spend it.
const form = document.querySelector("form[data-enter]");
const take = () => {
  if (!form || location.hash.length < 2) return false;
  form.elements.link.value = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  return true;
};
if (take() && form.dataset.refused === undefined) form.requestSubmit();
// A link that is opened while this page is open only changes the fragment.
addEventListener("hashchange", () => { if (take()) form.requestSubmit(); });
