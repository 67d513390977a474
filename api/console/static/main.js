// Starts the console: the token, the frame around the views, and which view is shown.

import { connection } from "./client.js";
import { html, render } from "./html.js";
import { loading } from "./parts/states.js";
import { go, link, place } from "./router.js";
import { session, takeTokenFromAddress } from "./session.js";
import { signInPage } from "./views/signin.js";
import { views } from "./views/views.js";

// The view on the page: its entry in `views`, and what its `open` returned.
let current = null;
let opened = null;

function frame() {
  return html`
    <a class="skip" href="#main" @click=${skip}>Skip to content</a>
    <header>
      <strong class="name">Order groups</strong>
      <nav aria-label="Views" ?hidden=${!session.token}>
        ${views.map(({ path, title }) => html`
          <a href=${link(path)} aria-current=${current?.path === path && "page"}>${title}</a>`)}
      </nav>
      <button class="plain" ?hidden=${!session.token} @click=${() => session.end("")}>Sign out</button>
    </header>
    <div class="banner" role="status">${connection.trouble && html`<strong>${connection.trouble}</strong>`}</div>
    <main id="main" tabindex="-1">
      ${session.token ? "" : signInPage()}
      <div id="view" ?hidden=${!session.token}></div>
    </main>`;
}

const draw = () => render(frame(), document.body);

function skip(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}

// Shows what the address says. A link of `projector up` may come to a tab that has the console already.
async function show() {
  takeTokenFromAddress();
  const { path } = place();
  if (!session.token) {
    close();
    document.title = "Order groups";
    draw();
    document.getElementById("token").focus();
    return;
  }
  const wanted = views.find((view) => view.path === path);
  if (!wanted) {
    go(views[0].path, null, { replace: true });
    return;
  }
  if (current !== wanted) await open(wanted);
  // The address may have changed while the view was loaded.
  if (current === wanted && place().path === path) opened?.show(place().parameters);
}

async function open(view) {
  close();
  current = view;
  draw();
  document.title = `${view.title} · Order groups`;
  const element = document.createElement("div");
  document.getElementById("view").replaceChildren(element);
  render(loading(), element);
  const { open: openView } = await view.load();
  if (current === view) opened = openView(element);
}

function close() {
  opened?.close();
  current = opened = null;
  document.getElementById("view")?.replaceChildren();
  connection.report("");
}

connection.changed = draw;
session.changed = show;
addEventListener("hashchange", show);
show();
