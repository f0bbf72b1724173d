// Check-in: the resident's code in, a ticket out; the panel says which number, or why not.

import { Problem } from "../common/api.js";
import { cleanCode } from "../common/code.js";
import { explain, fieldName, fieldValue, find, make } from "../common/dom.js";
import { inLanguage, moment, onLanguage, t } from "../common/language.js";
import { readPicture } from "../scanning/pictures.js";

const LONG_ENOUGH = 200;
const SILENCE_MS = 400;
const TRIES = 3;
const BETWEEN_TRIES_MS = 700;
// Personal data does not stay on a screen that others pass by.
const STAYS_MS = 60000;
const TIME = { timeStyle: "short" };

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function accepted(answer) {
  const rows = [
    [t("arrive.service"), inLanguage(answer.ticket.service)],
    [
      t("arrive.booked_at"),
      answer.booking ? moment(answer.booking.starts_at, TIME) : t("arrive.walked_in"),
    ],
    ...Object.entries(answer.fields).map(([name, value]) => [fieldName(name), fieldValue(value)]),
  ];
  return [
    make("h2", { class: "ticket-number" }, answer.ticket.label),
    make(
      "dl",
      { class: "facts" },
      ...rows.map(([label, value]) => make("div", {}, make("dt", {}, label), make("dd", {}, value))),
    ),
  ];
}

function refused(problem, outcome) {
  const { title, next, code } = explain(problem);
  const startsAt = problem.members?.starts_at;
  const advice = outcome === "uncertain" ? t("arrive.uncertain") : next || t("next.refused");
  return [
    make("h2", {}, t(outcome === "uncertain" ? "result.uncertain" : "arrive.refused")),
    make("p", { class: "why" }, title),
    startsAt ? make("p", { class: "next" }, t("arrive.early", { when: moment(startsAt, TIME) })) : "",
    make("h3", {}, t("result.next")),
    make("p", { class: "next" }, advice),
    make("p", { class: "code" }, `${t("app.code_label")}: `, make("code", {}, code)),
  ];
}

/** Sets the view up; `onArrived` hears of each ticket, `onRefused` of each refusal. */
export function makeArrivals({ desk, onArrived, onRefused }) {
  const panel = find("#arrival");
  const field = find("#arrival-code");
  const walkIn = find("#walk-in");
  let state = { outcome: "ready" };
  let services = [];
  let last = null;
  let isBusy = false;
  let silence = null;
  let timer = null;

  function words() {
    const { outcome, answer, problem } = state;
    if (outcome === "accepted") return accepted(answer);
    if (problem) return refused(problem, outcome);
    if (outcome === "checking") return [make("h2", {}, t("result.checking"))];
    return [make("h2", {}, t("result.ready")), make("p", {}, t("arrive.ready"))];
  }

  function draw() {
    panel.dataset.outcome = state.outcome;
    find("#arrival-words").replaceChildren(...words());
    find("#arrival-retry").hidden = state.outcome !== "uncertain";
    find("#arrival-clear").hidden = ["ready", "checking"].includes(state.outcome);
  }

  function show(changed) {
    state = changed;
    clearTimeout(timer);
    if (state.outcome === "accepted") timer = setTimeout(() => show({ outcome: "ready" }), STAYS_MS);
    draw();
  }

  function drawServices() {
    const chosen = walkIn.value;
    walkIn.replaceChildren(
      make("option", { value: "" }, t("arrive.walk_in_none")),
      ...services.map((each) =>
        make("option", { value: each.code }, t("arrive.walk_in_for", { service: inLanguage(each) })),
      ),
    );
    if (services.some(({ code }) => code === chosen)) walkIn.value = chosen;
  }

  /** A lost answer is asked for again under the same key, which gives no second ticket. */
  async function ask(arrival) {
    for (let tries = 1; ; tries += 1) {
      try {
        const options = { body: arrival.body, idempotencyKey: arrival.key };
        return await desk.call("POST", "/check-ins", options);
      } catch (error) {
        if (!error.isUncertain || tries === TRIES) throw error;
        await pause(BETWEEN_TRIES_MS * tries);
      }
    }
  }

  async function send(arrival) {
    if (isBusy) return;
    isBusy = true;
    last = arrival;
    show({ outcome: "checking" });
    try {
      show({ outcome: "accepted", answer: await ask(arrival) });
      walkIn.value = ""; // chosen anew for each
      onArrived();
    } catch (error) {
      if (!error.code) throw error;
      show({ outcome: error.isUncertain ? "uncertain" : "refused", problem: error });
      onRefused(error);
    } finally {
      isBusy = false;
      field.value = "";
      field.focus();
    }
  }

  function arrive(text) {
    const code = cleanCode(text);
    clearTimeout(silence);
    if (code && !isBusy) {
      send({ body: { code, walk_in_service: walkIn.value || null }, key: crypto.randomUUID() });
    }
  }

  find("#arrival-form").addEventListener("submit", (event) => {
    event.preventDefault();
    arrive(field.value);
  });
  // Scanners without an Enter key fall silent instead.
  field.addEventListener("input", () => {
    clearTimeout(silence);
    if (field.value.length >= LONG_ENOUGH) silence = setTimeout(() => arrive(field.value), SILENCE_MS);
  });
  document.addEventListener("keydown", (event) => {
    const isTyping = ["INPUT", "SELECT", "BUTTON", "A"].includes(document.activeElement?.tagName);
    const isText = event.key.length === 1 && !event.ctrlKey && !event.metaKey && !event.altKey;
    if (!find('[data-view="reception"]').hidden && isText && !isTyping) field.focus();
  });
  find("#arrival-picture").addEventListener("change", async (event) => {
    const [file] = event.target.files;
    event.target.value = "";
    if (!file || isBusy) return;
    const text = await readPicture(file);
    if (text) arrive(text);
    else show({ outcome: "refused", problem: new Problem({ code: "picture.no_code", status: 422 }) });
  });
  find("#arrival-clear").addEventListener("click", () => show({ outcome: "ready" }));
  find("#arrival-retry").addEventListener("click", () => last && send(last));
  onLanguage(() => {
    drawServices();
    draw();
  });

  return {
    start() {
      drawServices();
      show({ outcome: "ready" });
      field.focus();
    },
    offer(found) {
      services = found;
      drawServices();
    },
    stop() {
      last = null;
      field.value = "";
      show({ outcome: "ready" });
    },
  };
}
