// What came of a payment: green paid, amber while the customer is asked, red with the reason.

import { explain, find, make } from "../common/dom.js";
import { hasString, onLanguage, t } from "../common/language.js";
import { yuan } from "../common/money.js";

/** Sets the panel up; `onRetry`, `onCancel` and `onClear` hear of its buttons. */
export function makeResult({ onRetry, onCancel, onClear }) {
  const panel = find("#result");
  let state = { outcome: "ready" };

  function refusal(problem) {
    const { title, next, code } = explain(problem);
    const told = hasString(`till.next.${code}`) ? t(`till.next.${code}`) : next;
    return [
      make("p", { class: "why" }, title),
      make("h3", {}, t("result.next")),
      make("p", { class: "next" }, told || t("till.next_refused")),
      make("p", { class: "code" }, `${t("app.code_label")}: `, make("code", {}, code)),
    ];
  }

  function words() {
    const { outcome, amount_fen: fen, problem } = state;
    const amount = fen ? make("p", { class: "sum" }, yuan(fen)) : "";
    if (outcome === "accepted") return [make("h2", {}, t("till.paid")), amount];
    if (outcome === "waiting") {
      const whom = state.isAtBank ? "till.at_bank" : "till.waiting";
      return [make("h2", {}, t(whom)), amount, make("p", {}, t(`${whom}_text`))];
    }
    if (outcome === "refused") return [make("h2", {}, t("till.refused")), amount, ...refusal(problem)];
    if (outcome === "uncertain") {
      return [
        make("h2", {}, t("result.uncertain")),
        amount,
        make("p", { class: "next" }, t("till.uncertain")),
      ];
    }
    if (outcome === "checking") return [make("h2", {}, t("till.checking")), amount];
    return [make("h2", {}, t("result.ready")), make("p", {}, t(state.note ?? "till.ready"))];
  }

  function draw() {
    panel.dataset.outcome = state.outcome;
    find("#result-words").replaceChildren(...words());
    find("#result-retry").hidden = state.outcome !== "uncertain";
    find("#result-cancel").hidden = state.outcome !== "waiting" || Boolean(state.isAtBank);
    find("#result-clear").textContent = t(
      state.outcome === "accepted" ? "till.next_customer" : "result.clear",
    );
    find("#result-clear").hidden = ["ready", "checking", "waiting"].includes(state.outcome);
  }

  function show(changed) {
    state = changed;
    draw();
    // On a small screen the panel may stand out of sight.
    if (state.outcome !== "ready") panel.scrollIntoView({ block: "nearest" });
  }

  find("#result-clear").addEventListener("click", () => {
    show({ outcome: "ready" });
    onClear();
  });
  find("#result-retry").addEventListener("click", onRetry);
  find("#result-cancel").addEventListener("click", onCancel);
  onLanguage(draw);
  draw();

  return {
    clear: (note) => show({ outcome: "ready", note }),
    checking: (fen) => show({ outcome: "checking", amount_fen: fen }),
    paid: (payment) => show({ ...payment, outcome: "accepted" }),
    atBank: (payment) => show({ ...payment, outcome: "waiting", isAtBank: true }),
    waiting: (payment) => show({ ...payment, outcome: "waiting" }),
    refused: (problem, fen) => show({ outcome: "refused", problem, amount_fen: fen }),
    uncertain: (fen) => show({ outcome: "uncertain", amount_fen: fen }),
  };
}
