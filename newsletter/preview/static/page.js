// Reloads when the server says that a template or the config has changed.
new EventSource("/changes").addEventListener("message", () => location.reload());

// The left and the right arrow follow the links to the day before and after. In a field they move the cursor.
addEventListener("keydown", (event) => {
  const rel = { ArrowLeft: "prev", ArrowRight: "next" }[event.key];
  const typing = event.target instanceof Element && event.target.closest("input, textarea, select");
  if (!rel || typing || event.repeat || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const link = document.querySelector(`a[rel=${rel}]`);
  if (link) link.click();
});
