// The operations page: what runs, what waits, today's figures, and the dead letters.

import { find, make, showProblem } from "../common/dom.js";
import { inLanguage, moment, onLanguage, t } from "../common/language.js";
import { startPage } from "../common/start.js";
import { openDesk } from "./desk.js";
import { makeEntry } from "./entry.js";
import { drawFigures, makeWatch } from "./figures.js";

const PART = "/api/operations/v1";
const ALARMS = ["outbox_dead", "payouts_unknown", "debits_unknown"];

async function start() {
  const page = await startPage("vpass-operations");
  if (!page) return;
  const desk = await openDesk(page);
  let letters = [];
  const keys = new Map(); // of a redelivery that got no answer, to be asked for again

  async function ask() {
    const state = await desk.call("GET", "/state", { part: PART });
    ({ items: letters } = await desk.call("GET", "/dead-letters", { part: PART }));
    return state;
  }

  function draw(state) {
    find("#engines").replaceChildren(
      ...state.engines.map((engine) =>
        make(
          "li",
          { "data-engine": engine.name, "data-up": String(engine.is_up) },
          make("span", { class: "lamp", "aria-hidden": "true" }),
          make("span", {}, inLanguage(engine)),
          make("strong", {}, t(engine.is_up ? "operations.up" : "operations.down")),
        ),
      ),
    );
    for (const group of ["runs", "waits", "today"]) {
      const figures = state.figures.filter((figure) => figure.group === group);
      drawFigures(find(`#${group}`), figures, { alarms: ALARMS });
    }
    drawLetters();
  }

  function drawLetters() {
    find("#letters-none").hidden = letters.length > 0;
    find("#letters").replaceChildren(
      ...letters.map((letter) => {
        const again = make("button", { type: "button" }, t("operations.redeliver"));
        again.addEventListener("click", () => redeliver(letter, again));
        const words = t("operations.letter", { consumer: letter.consumer, error: letter.error });
        return make(
          "li",
          { "data-letter": letter.id },
          make("p", {}, make("strong", {}, letter.event), make("span", {}, words)),
          make("span", { class: "hint" }, moment(letter.published_at)),
          again,
        );
      }),
    );
  }

  async function redeliver(letter, button) {
    const key = keys.get(letter.id) ?? crypto.randomUUID();
    keys.set(letter.id, key);
    button.disabled = true;
    try {
      const path = `/dead-letters/${letter.id}/redelivery`;
      await desk.call("POST", path, { part: PART, body: {}, idempotencyKey: key });
      keys.delete(letter.id);
      showProblem(find("#letters-problem"), null);
    } catch (error) {
      if (!error.code) throw error;
      if (!error.isUncertain) keys.delete(letter.id);
      showProblem(find("#letters-problem"), error);
    } finally {
      button.disabled = false;
    }
    await watch.look();
  }

  const watch = makeWatch({ ask, draw, onRefused: (problem) => entry.judge(problem) });
  const entry = makeEntry({
    desk,
    viewOf: () => "operations",
    onEnter: () => watch.start(),
    onLeave: () => watch.stop(),
  });
  onLanguage(drawLetters);
  await entry.start();
}

start();
