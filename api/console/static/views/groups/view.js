// The list of order groups: reads what the address asks for, and shows it.

import { render } from "../../html.js";
import { openDialogs } from "../../parts/dialog.js";
import { go } from "../../router.js";
import { readExplained, readGroup, readHistogram, readPage, readSummary } from "./data.js";
import { exportAs } from "./export.js";
import { layout } from "./layout.js";
import { Live, marksOf, news } from "./live.js";
import { barsOf, changed, filterParameters, listParameters } from "./query.js";

// Shortest time between two pages that come by themselves, in milliseconds.
const FOLLOW_MS = 1000;
const FOLLOWING_KEY = "order-groups-follow";

export function open(element) {
  let parameters = new URLSearchParams();
  let reading = new AbortController();
  // Of what dialogs read, which a new page of the list does not end.
  const closing = new AbortController();
  let following;
  // undefined is what is being read, null what the server does not have; an Error what failed.
  const state = {
    page: undefined, isReading: false, error: null, summary: undefined, histogram: undefined, marks: new Map(), selection: null,
    group: null, explained: null, isExplaining: false, isExporting: false, progress: "",
    isFollowing: sessionStorage.getItem(FOLLOWING_KEY) === "on",
  };
  const live = new Live(() => {
    if (state.isFollowing && newsOf() && !element.querySelector("dialog")) followSoon();
    draw();
  });
  const newsOf = () => news(state.page, live.latest);
  const change = (wanted, options) => go("groups", wanted, options);

  const actions = {
    change,
    refresh: () => read({ marking: true }),
    follow(event) {
      state.isFollowing = event.target.checked;
      sessionStorage.setItem(FOLLOWING_KEY, state.isFollowing ? "on" : "off");
      if (state.isFollowing && newsOf()) actions.refresh();
    },
    async explain() {
      Object.assign(state, { isExplaining: true, explained: undefined });
      draw();
      state.explained = await readExplained(parameters, closing.signal).catch((error) => error);
      draw();
    },
    closeExplained() {
      state.isExplaining = false;
      draw();
    },
    closeGroup: () => change(changed(parameters, { group: null }), { replace: true }),
    exportAs: (format, rows) => exportAs(parameters, format, rows, (progress, isRunning) => {
      Object.assign(state, { progress, isExporting: isRunning });
      draw();
    }),
    select(range) {
      state.selection = range;
      draw();
    },
  };

  function draw() {
    render(layout(parameters, state, { news: newsOf(), live: live.state }, actions), element);
    openDialogs(element);
  }

  // Reads everything that the page shows. Rows do not wait for sums and facets. `marking`: shows what changed.
  async function read({ marking = false } = {}) {
    reading.abort();
    reading = new AbortController();
    const { signal } = reading;
    const before = state.page;
    const set = (name) => (value) => {
      if (signal.aborted) return;
      state[name] = value;
      draw();
    };
    state.isReading = true;
    draw();
    const rows = readPage(parameters, signal);
    readSummary(parameters, signal).then(set("summary"), set("summary"));
    readHistogram(parameters, signal).then(set("histogram"), set("histogram"));
    try {
      const page = await rows;
      state.marks = marking && before ? marksOf(before.groups, page.groups) : new Map();
      Object.assign(state, { page, error: null });
    } catch (error) {
      if (signal.aborted) return;
      state.error = error;
    }
    state.isReading = false;
    draw();
  }

  function followSoon() {
    following ??= setTimeout(() => {
      following = undefined;
      if (newsOf()) actions.refresh();
    }, FOLLOW_MS);
  }

  async function showGroup(id) {
    state.group = id === null ? null : { id, found: null };
    draw();
    if (id === null) return;
    const found = await readGroup(id, closing.signal).catch((error) => error);
    if (state.group?.id !== id || closing.signal.aborted) return;
    state.group.found = found;
    draw();
  }

  return {
    show(wanted) {
      const before = parameters;
      const differs = (of) => !state.page || of(before) !== of(wanted);
      parameters = wanted;
      if (differs((one) => String(filterParameters(one)))) Object.assign(state, { summary: undefined, histogram: undefined });
      if (state.error || differs((one) => `${listParameters(one)} ${barsOf(one)}`)) read();
      if (state.error || differs((one) => String(listParameters(one)))) live.start(wanted);
      if (wanted.get("group") !== (state.group?.id ?? null)) showGroup(wanted.get("group"));
      draw();
    },
    close() {
      clearTimeout(following);
      reading.abort();
      closing.abort();
      live.stop();
    },
  };
}
