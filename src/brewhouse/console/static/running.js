// The log of a run that goes on shows its newest lines.
function follow() {
  const log = document.querySelector("#live[hx-get] .log");
  if (log) log.scrollTop = log.scrollHeight;
}
document.addEventListener("htmx:afterSettle", follow);
follow();
