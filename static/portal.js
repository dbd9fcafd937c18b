/* What the pages do beyond plain HTML. Everything works without this file. */
(() => {
  "use strict";

  const alerts = document.getElementById("alerts");
  const noAnswer = document.getElementById("no-answer");

  /* Nobody looks at a hidden page, so it asks nothing. */
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (document.hidden && event.detail.elt.hasAttribute("data-poll")) event.preventDefault();
  });

  /* A request that got no answer, or a fault, says so once; the next success takes it away. */
  const sayNoAnswer = () => {
    if (alerts && noAnswer && !alerts.querySelector("[data-no-answer]")) {
      const said = noAnswer.content.cloneNode(true);
      said.firstElementChild.setAttribute("data-no-answer", "");
      alerts.replaceChildren(said);
    }
  };
  document.addEventListener("htmx:sendError", sayNoAnswer);
  document.addEventListener("htmx:timeout", sayNoAnswer);
  document.addEventListener("htmx:responseError", (event) => {
    if (event.detail.xhr.status >= 500) sayNoAnswer();
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.successful) alerts?.querySelector("[data-no-answer]")?.remove();
  });

  /* Open lists at the top close with Escape and with a click elsewhere. */
  const closeLists = (except) => {
    for (const list of document.querySelectorAll("details.drop[open]")) {
      if (list !== except) list.open = false;
    }
  };
  document.addEventListener("click", (event) => closeLists(event.target.closest("details.drop")));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const list = document.activeElement?.closest("details.drop[open]");
    closeLists(null);
    list?.querySelector("summary").focus();
  });

  /* A second click while a form is on its way would send it twice. */
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.hasAttribute("data-sent")) event.preventDefault();
    form.setAttribute("data-sent", "");
  });
  /* Coming back through the history shows the page as it was left. */
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) form.removeAttribute("data-sent");
  });
})();
