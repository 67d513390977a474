// The views of the console, in the order of the navigation.
//
// A view's module has `open(element)`: it returns `show(parameters)`, called at first and when the address changes, and
// `close()`, after which the view does nothing more.

export const views = [
  { path: "groups", title: "Groups", load: () => import("./groups/view.js") },
  { path: "pipeline", title: "Pipeline", load: () => import("./projector/pipeline.js") },
  { path: "parked", title: "Parked", load: () => import("./projector/parked.js") },
  { path: "replay", title: "Replay", load: () => import("./projector/replay.js") },
];
