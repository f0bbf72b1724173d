// For the privacy officer: what residents dispute, each with its answer.

import { fieldName, find, make, nameOf, showProblem } from "../common/dom.js";
import { listed, moment, onLanguage, t } from "../common/language.js";

const ROLE = "privacy";

/** Sets the list up. Gives {start, stop}. */
export function makeDisputes({ desk }) {
  let items = [];

  async function load() {
    showProblem(find("#disputes-problem"), null);
    try {
      items = (await desk.call("GET", "/disputes?limit=50")).items;
      draw();
    } catch (error) {
      if (!error.code) throw error;
      showProblem(find("#disputes-problem"), error);
    }
  }

  async function answer(item, verdict, text) {
    try {
      const options = { body: { verdict, text }, idempotencyKey: crypto.randomUUID() };
      await desk.call("POST", `/disputes/${item.line}/answer`, options);
      await load();
    } catch (error) {
      if (!error.code) throw error;
      showProblem(find("#disputes-problem"), error);
    }
  }

  function entry(item) {
    const id = `answer-${item.line}`;
    const text = make("input", { id, maxlength: 500 });
    const choices = ["justified", "unjustified"].map((verdict) => {
      const made = make("button", { type: "button" }, t(`counter.${verdict}`));
      made.addEventListener("click", () => (text.value.trim() ? answer(item, verdict, text.value.trim()) : text.focus()));
      return made;
    });
    const what = [item.purpose, item.case_number, nameOf(item.place), item.staff].filter(Boolean);
    return make(
      "li",
      { class: "item" },
      make("strong", {}, what.join(" · ")),
      make("span", {}, listed([...item.fields, ...item.asked].map(fieldName))),
      item.note ? make("span", {}, item.note) : null,
      make("span", { class: "line-foot" }, moment(item.at)),
      make("label", { for: id }, t("counter.answer")),
      text,
      make("div", { class: "pair" }, ...choices),
    );
  }

  function draw() {
    const open = items.filter((item) => item.state === "open");
    find("#disputes-list").replaceChildren(...open.map(entry));
    find("#disputes-none").hidden = open.length > 0;
  }

  onLanguage(draw);

  return {
    start(session) {
      const mayAnswer = session.staff.roles.includes(ROLE);
      find("#disputes").hidden = !mayAnswer;
      if (mayAnswer) load();
    },
    stop: () => (find("#disputes").hidden = true),
  };
}
