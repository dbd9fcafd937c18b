/* What the pages do beyond plain HTML. Everything works without this file. */
(() => {
  "use strict";

  const root = document.documentElement;
  const find = (selector, within = document) => within.querySelector(selector);
  const findAll = (selector, within = document) => [...within.querySelectorAll(selector)];
  const on = (name, does) => document.addEventListener(name, does);
  const make = (tag, words) => Object.assign(document.createElement(tag), { textContent: words ?? "" });

  const alerts = find("#alerts");
  const dialog = find("#dialog");
  const help = find("#help");
  const toasts = find("#toasts");

  /* Nobody looks at a hidden page, so it asks nothing. */
  on("htmx:beforeRequest", (event) => {
    if (document.hidden && event.detail.elt.hasAttribute("data-poll")) event.preventDefault();
  });

  /* What is being fetched says so, to the eye and to the ear. */
  on("htmx:beforeSend", ({ detail }) => {
    if (!detail.elt.hasAttribute("data-poll")) detail.target?.setAttribute("aria-busy", "true");
  });
  on("htmx:afterRequest", ({ detail }) => {
    detail.target?.removeAttribute("aria-busy");
    if (detail.successful) find("[data-no-answer]", alerts)?.remove();
  });

  /* A request that got no answer, or a fault, says so once; the next success takes it away. */
  const sayNoAnswer = () => {
    const words = find("#no-answer");
    if (!alerts || !words || find("[data-no-answer]", alerts)) return;
    const said = words.content.cloneNode(true);
    said.firstElementChild.setAttribute("data-no-answer", "");
    alerts.replaceChildren(said);
    dialog.close();
  };
  on("htmx:sendError", sayNoAnswer);
  on("htmx:timeout", sayNoAnswer);
  on("htmx:responseError", ({ detail }) => {
    if (detail.xhr.status >= 500) sayNoAnswer();
  });

  /* The answer's header `HX-Trigger: {"focus": "#id"}` says where to go on after the swap. */
  let wanted = null;
  on("focus", ({ detail }) => {
    if (detail?.value) wanted = detail.value;
  });
  on("htmx:afterSettle", () => {
    const target = wanted && find(wanted);
    if (!target) return;
    wanted = null;
    if (target.tabIndex < 0 && !target.hasAttribute("tabindex")) target.tabIndex = -1;
    target.focus();
  });

  /* A page of confirmation comes as a dialog; what it refuses to do stands behind it. */
  on("htmx:afterSwap", ({ detail }) => {
    if (detail.target.id === "alerts") dialog.close();
    if (detail.target !== dialog || !dialog.firstElementChild || dialog.open) return;
    if (find("#dialog-title", dialog)) dialog.setAttribute("aria-labelledby", "dialog-title");
    dialog.showModal();
  });
  dialog?.addEventListener("close", () => dialog.replaceChildren());
  for (const one of [dialog, help]) {
    one?.addEventListener("click", (event) => {
      if (event.target !== one && !event.target.closest("[data-close]")) return;
      event.preventDefault();
      one.close();
    });
  }

  /* Open lists at the top close with Escape and with a click elsewhere. */
  const closeLists = (except) => {
    for (const list of findAll("details.drop[open]")) {
      if (list !== except) list.open = false;
    }
  };
  on("click", (event) => {
    closeLists(event.target.closest("details.drop"));
    if (event.target.closest("[data-help]")) showHelp();
  });

  /* Shortcuts stand beside what they do: data-key="g i" on a link, "p" on a button. */
  const isSeen = (one) => one.checkVisibility?.() ?? true;
  const nameOf = (one) => one.dataset.keyName || one.getAttribute("aria-label") || one.textContent.trim();
  const showHelp = () => {
    const list = help && find("dl", help);
    if (!list) return;
    for (const old of findAll("[data-added]", list)) old.remove();
    for (const one of findAll("[data-key]").filter(isSeen)) {
      const line = make("div");
      line.dataset.added = "";
      const keys = make("dd");
      for (const key of one.dataset.key.split(" ")) keys.append(make("kbd", key), " ");
      line.append(make("dt", nameOf(one)), keys);
      list.append(line);
    }
    help.showModal();
  };
  const step = (by) => {
    const lines = findAll("tbody th a[href]").filter(isSeen);
    const row = document.activeElement.closest("tr");
    const at = lines.findIndex((line) => line.closest("tr") === row);
    lines[at < 0 ? 0 : Math.min(Math.max(at + by, 0), lines.length - 1)]?.focus();
  };
  const act = (one) => {
    if (one.matches("input, select, textarea")) one.focus();
    else one.click();
  };
  const single = {
    "/": () => {
      const box = find("#search-box, .querybox input");
      box?.focus();
      box?.select();
    },
    "?": showHelp,
    j: () => step(1),
    k: () => step(-1),
  };
  let first = "";
  let forget = 0;
  on("keydown", (event) => {
    if (event.key === "Escape") {
      const list = document.activeElement?.closest("details.drop[open]");
      closeLists(null);
      if (list) find("summary", list).focus();
    }
    if (root.dataset.keys === "off" || event.defaultPrevented || event.isComposing) return;
    if (event.ctrlKey || event.metaKey || event.altKey || event.key.length > 1 || event.key === " ") return;
    if (event.target.closest("input, select, textarea, [contenteditable], dialog")) return;
    const keys = first ? `${first} ${event.key}` : event.key;
    clearTimeout(forget);
    first = "";
    const one = findAll("[data-key]").find((each) => each.dataset.key === keys && isSeen(each));
    if (one) act(one);
    else if (single[keys]) single[keys]();
    else if (find(`[data-key^="${CSS.escape(keys)} "]`)) {
      first = keys;
      forget = setTimeout(() => (first = ""), 1500);
      return;
    } else return;
    event.preventDefault();
  });

  /* What was done is said for a while; with something to click it stays until it is dismissed. */
  const greet = (toast) => {
    const asks = find("a, button", toast) || toast.matches(".is-bad, .is-warn");
    const close = make("button", "×");
    close.type = "button";
    close.setAttribute("aria-label", "Dismiss");
    close.addEventListener("click", () => toast.remove());
    toast.append(close);
    const leave = () => {
      if (toast.matches(":hover, :focus-within")) setTimeout(leave, 2000);
      else toast.remove();
    };
    if (!asks) setTimeout(leave, 10000);
  };
  if (toasts) {
    const there = findAll(".toast", toasts);
    there.forEach(greet);
    /* A region that was full from the start is not read out. */
    const words = there.map((toast) => find("p", toast).textContent).join(" ");
    if (words) setTimeout(() => (find("#sr").textContent = words), 500);
    new MutationObserver((changes) => {
      for (const { addedNodes } of changes) {
        for (const one of addedNodes) if (one.matches?.(".toast")) greet(one);
      }
    }).observe(toasts, { childList: true });
  }

  /* A second click while a form is on its way would send it twice; htmx sees to its own. */
  on("submit", (event) => {
    const form = event.target;
    if (form.method !== "post" || form.hasAttribute("hx-post")) return;
    if (form.hasAttribute("data-sent")) event.preventDefault();
    form.setAttribute("data-sent", "");
  });
  /* Coming back through the history shows the page as it was left. */
  addEventListener("pageshow", () => {
    for (const form of findAll("form[data-sent]")) form.removeAttribute("data-sent");
  });

  /* Leaving a half-filled form about money asks first. */
  on("input", (event) => {
    const form = event.target.closest("form[data-dirty]");
    if (form) form.dataset.dirty = "yes";
  });
  on("htmx:beforeSend", ({ detail }) => {
    if (detail.elt.dataset.dirty) detail.elt.dataset.dirty = "";
  });
  addEventListener("beforeunload", (event) => {
    if (find('form[data-dirty="yes"]:not([data-sent])')) event.preventDefault();
  });
})();
