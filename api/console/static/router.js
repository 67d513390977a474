// The address after `#` is the state: `#/groups?status=pending`. A view can be sent to a colleague, without the token.

// Returns { path, parameters } of the address.
export function place() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  return { path, parameters: new URLSearchParams(query) };
}

export const link = (path, parameters) => {
  const query = parameters?.toString() ?? "";
  return `#/${path}${query ? `?${query}` : ""}`;
};

// Goes to a place. `replace`: without a new entry in the history.
export function go(path, parameters, { replace = false } = {}) {
  const target = link(path, parameters);
  if (target === location.hash) return;
  if (replace) {
    history.replaceState(null, "", target);
    dispatchEvent(new HashChangeEvent("hashchange"));
  } else {
    location.hash = target;
  }
}
