// Paper is white: print in the light theme, whichever one the reader has on the screen.
const root = document.documentElement;
let onScreen;

window.addEventListener("beforeprint", () => {
  onScreen = root.dataset.theme;
  root.dataset.theme = "light";
});

window.addEventListener("afterprint", () => {
  root.dataset.theme = onScreen;
});
