// Keep the newest lines of the log of a running run in view.
function follow() {
  const log = document.querySelector("#live[hx-get] .log");
  if (log) log.scrollTop = log.scrollHeight;
}
document.addEventListener("htmx:afterSettle", follow);
follow();
