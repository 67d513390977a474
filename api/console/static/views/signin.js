// The page without a token.

import { html } from "../html.js";
import { session } from "../session.js";

export function signInPage() {
  return html`
    <form class="sign-in" @submit=${submit}>
      <h1>Sign in</h1>
      <p role="alert" ?hidden=${!session.reason}>${session.reason}</p>
      <label for="token">Token or API key</label>
      <input id="token" name="token" type="password" autocomplete="off" spellcheck="false" required>
      <button class="primary">Sign in</button>
      <p>
        <code>projector up</code> prints a link that signs in, <code>projector token</code> prints a token. A token of
        the marketplace's administrator, or an API key, is accepted as well. It stays in this tab only.
      </p>
    </form>`;
}

function submit(event) {
  event.preventDefault();
  const token = new FormData(event.target).get("token").trim().replace(/^Bearer\s+/i, "");
  // A header has printable ASCII only: anything else is no token.
  if (/^[\x21-\x7e]+$/.test(token)) session.begin(token);
  else session.end("A token or key has no blanks and no special letters.");
}
