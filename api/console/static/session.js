// The token or API key of this tab. It is in sessionStorage and in no URL.

const KEY = "order-groups-token";

export const session = {
  // Why one was signed out; shown on the sign-in page.
  reason: "",
  // Called when the token changes.
  changed: () => {},

  get token() {
    return sessionStorage.getItem(KEY);
  },

  begin(token) {
    sessionStorage.setItem(KEY, token);
    this.reason = "";
    this.changed();
  },

  end(reason) {
    sessionStorage.removeItem(KEY);
    this.reason = reason;
    this.changed();
  },
};

// Takes the token out of `#token=...`, which `projector up` prints, and out of the address bar and the history.
export function takeTokenFromAddress() {
  const token = /^#token=([^&]+)$/.exec(location.hash)?.[1];
  if (!token) return;
  history.replaceState(null, "", location.pathname);
  sessionStorage.setItem(KEY, decodeURIComponent(token));
}
