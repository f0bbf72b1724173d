// Under an open line of the access log: dispute it with one tap, and read the answer.

import { make, showProblem } from "../common/dom.js";
import { t } from "../common/language.js";

/** What stands under `line`; `onChange` hears that the line has to be read again. */
export function disputePart({ session, line, onChange }) {
  const problem = make("div", { class: "problem", role: "alert", hidden: true });

  async function send(path, body) {
    showProblem(problem, null);
    try {
      const url = `/access-log/${line.id}/dispute${path}`;
      await session.call("POST", url, { body, idempotencyKey: crypto.randomUUID() });
      await onChange();
    } catch (error) {
      if (!error.code) throw error;
      showProblem(problem, error);
    }
  }

  function button(key, kind, work) {
    const made = make("button", { type: "button", class: kind }, t(key));
    made.addEventListener("click", work);
    return made;
  }

  const { dispute } = line;
  if (line.scene === "own") return "";
  if (!dispute) {
    return make(
      "div",
      { class: "dispute" },
      make("h2", {}, t("dispute.title")),
      make("p", { class: "note" }, t("dispute.text")),
      problem,
      button("dispute.open_now", "danger wide", () => send("", {})),
    );
  }
  return make(
    "div",
    { class: "dispute" },
    make("h2", {}, t(`dispute.${dispute.state}`)),
    dispute.note ? make("p", {}, dispute.note) : null,
    dispute.answer ? make("p", {}, dispute.answer) : null,
    problem,
    dispute.state === "open"
      ? button("dispute.withdraw", "quiet wide", () => send("/withdrawal", {}))
      : null,
  );
}
