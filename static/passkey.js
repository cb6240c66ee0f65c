// Passkeys in forms. The server makes the challenge and checks the answer; this only carries both. `people/_passkey.html` loads
// it and brings its sentences, by the names of errors, in the language of the page.
//
//   <form method="post" data-passkey="get" data-options="{{ options|tojson|forceescape }}">
//     <input type="hidden" name="assertion">             (for data-passkey="create": name="attestation")
//     <p class="notice bad" role="alert" data-problem hidden></p>
//     <button class="button seal" disabled data-wakes>…</button>   (a button with data-plain submits without the passkey)
//   </form>
//
// On submit the browser asks for the passkey, puts its answer as JSON into the hidden field, and the form is sent. What goes
// wrong is said in words in [data-problem]. For other uses: import nothing, call window.passkey.get(options) or .create(options).

(() => {
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const known = (list) => (list || []).map((one) => ({ ...one, id: bytes(one.id) }));
  const answer = (credential, response) => ({
    id: credential.id, rawId: text(credential.rawId), type: credential.type,
    authenticatorAttachment: credential.authenticatorAttachment || undefined,
    clientExtensionResults: credential.getClientExtensionResults(), response,
  });

  async function get(options) {
    const publicKey = { ...options, challenge: bytes(options.challenge), allowCredentials: known(options.allowCredentials) };
    const credential = await navigator.credentials.get({ publicKey });
    const { clientDataJSON, authenticatorData, signature, userHandle } = credential.response;
    return answer(credential, {
      clientDataJSON: text(clientDataJSON), authenticatorData: text(authenticatorData), signature: text(signature),
      userHandle: userHandle ? text(userHandle) : undefined,
    });
  }

  async function create(options) {
    const publicKey = {
      ...options, challenge: bytes(options.challenge), user: { ...options.user, id: bytes(options.user.id) },
      excludeCredentials: known(options.excludeCredentials),
    };
    const credential = await navigator.credentials.create({ publicKey });
    const { clientDataJSON, attestationObject } = credential.response;
    return answer(credential, {
      clientDataJSON: text(clientDataJSON), attestationObject: text(attestationObject),
      transports: credential.response.getTransports ? credential.response.getTransports() : [],
    });
  }

  const sentences = document.getElementById("passkey-words").dataset;
  const words = (error) => sentences[error.name.charAt(0).toLowerCase() + error.name.slice(1)] || sentences.other;

  function say(form, problem) {
    const place = form.querySelector("[data-problem]");
    if (!place) return;
    place.textContent = problem;
    place.hidden = !problem;
  }

  // The button says what the page waits for; what it said before comes back if nothing came of it.
  function waiting(button) {
    if (!button) return () => {};
    const before = [...button.childNodes];
    button.setAttribute("aria-busy", "true");
    button.disabled = true;
    button.replaceChildren(sentences.waiting);
    return () => { button.replaceChildren(...before); button.disabled = false; button.removeAttribute("aria-busy"); };
  }

  async function ask(form, field, button) {
    say(form, "");
    if (!window.PublicKeyCredential || !navigator.credentials) {
      say(form, sentences.unknown);
      return;
    }
    const restore = waiting(button);
    try {
      const run = form.dataset.passkey === "create" ? create : get;
      field.value = JSON.stringify(await run(JSON.parse(form.dataset.options)));
    } catch (error) {
      field.value = "";
      say(form, words(error));
    }
    restore();
    if (field.value) form.requestSubmit(button);
  }

  // Capturing, so that it comes before whatever else listens for the form being sent.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.dataset.passkey || (event.submitter && event.submitter.dataset.plain !== undefined)) return;
    const field = form.querySelector("input[name=assertion], input[name=attestation]");
    if (!field || field.value) return;
    event.preventDefault();
    if (!form.querySelector("[aria-busy]")) ask(form, field, event.submitter || form.querySelector("button"));
  }, true);

  // A page that comes back from the history holds an answer that is spent.
  window.addEventListener("pageshow", () => {
    for (const field of document.querySelectorAll("form[data-passkey] input[name=assertion], form[data-passkey] input[name=attestation]")) field.value = "";
  });

  // Pressed before this ran, it would have sent the form without its answer.
  for (const button of document.querySelectorAll("form[data-passkey] button[data-wakes]")) button.disabled = false;

  window.passkey = { get, create, words };
})();
