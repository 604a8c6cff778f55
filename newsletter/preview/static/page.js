// Reloads when the server says that a template or the config has changed.
new EventSource("/changes").addEventListener("message", () => location.reload());
