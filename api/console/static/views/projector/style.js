// The stylesheet of operators' views, which is loaded with the first of them.

let isUsed = false;

export function useStyle() {
  if (isUsed) return;
  isUsed = true;
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = new URL("projector.css", import.meta.url).href;
  document.head.append(link);
}
