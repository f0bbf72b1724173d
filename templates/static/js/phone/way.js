// Where the money of one payment is: from the order to the word of the merchant's bank.

import { make, showProblem } from "../common/dom.js";
import { moment, t } from "../common/language.js";

const MARKS = { done: "●", waiting: "○", stopped: "×" };

function stageEntry({ stage, state, at, reference }) {
  const foot = [at ? moment(at) : t(`way.state_${state}`)];
  if (reference) foot.push(t("way.reference", { reference }));
  return make(
    "li",
    { "data-state": state },
    make("span", { class: "way-mark", "aria-hidden": "true" }, MARKS[state]),
    make("span", {}, t(`way.${stage}`)),
    make("span", { class: "line-foot" }, foot.join(" · ")),
  );
}

/** A part that opens to show the way of the payment with this id. */
export function wayOf({ session, id }) {
  const stages = make("ol", { class: "way" });
  const problem = make("div", { class: "problem", role: "alert", hidden: true });
  const part = make("details", {}, make("summary", {}, t("way.title")), stages, problem);
  part.addEventListener("toggle", async () => {
    if (!part.open) return;
    showProblem(problem, null);
    try {
      const way = await session.call("GET", `/payments/${id}/way`);
      stages.replaceChildren(...way.stages.map(stageEntry));
    } catch (error) {
      if (!error.code) throw error;
      showProblem(problem, error);
    }
  });
  return part;
}
