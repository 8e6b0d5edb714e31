// Runs before the first paint: puts the chosen theme on the root element, so that a page that is switched to
// dark is never light for a moment.
export {};

const chosen = (() => {
  try {
    return localStorage.getItem("linnet.theme");
  } catch {
    return null; // storage is forbidden: the system's theme it is
  }
})();
if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
