// The result of a scan: the whole panel green with the fields, or red with the reason and the next
// step, and never a doubt which.

import { explain, fieldName, fieldValue, find, make } from "../common/dom.js";
import { hasString, moment, onLanguage, t } from "../common/language.js";

/** Who stands at the counter for whom. */
function actingRows(acting) {
  const kind = t(`counter.acting.${acting.kind}`);
  const who = acting.delegate_name ?? t("app.yes");
  if (!acting.enterprise_name) return [[kind, who, "delegate_name"]];
  return [
    [kind, acting.enterprise_name, "acting"],
    [t("counter.credit_code"), acting.credit_code, "credit_code"],
    [t("counter.delegate"), who, "delegate_name"],
  ];
}

// Personal data does not stay on a screen that others pass by.
const STAYS_MS = 120000;

/**
 * Sets the panel up; `onRetry` hears when the clerk asks for the same scan again, `onChange` that the
 * panel goes over to something else.
 */
export function makeResult({ onRetry, onChange }) {
  const panel = find("#result");
  let state = { outcome: "ready" };
  let timer = null;

  function words() {
    const { outcome, answer, problem } = state;
    if (outcome === "accepted") {
      const rows = Object.entries(answer.fields).map(([name, value]) => [fieldName(name), fieldValue(value), name]);
      const level = `code.level_${answer.level}`;
      rows.push([t("result.level"), hasString(level) ? t(level) : String(answer.level), "level"]);
      if (answer.assurance === "high") {
        rows.unshift([t("result.assurance"), t("result.assurance_high"), "assurance"]);
      }
      if (answer.acting) rows.unshift(...actingRows(answer.acting));
      rows.push([t("result.at"), moment(answer.redeemed_at), "redeemed_at"]);
      return [
        make("h2", {}, t("result.accepted")),
        state.photo ? make("img", { class: "photo", src: state.photo, alt: t("photo.of_register") }) : "",
        make(
          "dl",
          { class: "facts" },
          ...rows.map(([label, value, name]) =>
            make("div", { "data-field": name }, make("dt", {}, label), make("dd", {}, value)),
          ),
        ),
        state.note ? make("p", { class: "next" }, state.note) : "",
      ];
    }
    if (outcome === "refused" || outcome === "uncertain") {
      const isUncertain = outcome === "uncertain";
      const { title, next, code } = explain(problem);
      const fallback = isUncertain ? "next.uncertain" : "next.refused";
      return [
        make("h2", {}, t(`result.${outcome}`)),
        make("p", { class: "why" }, title),
        make("h3", {}, t("result.next")),
        make("p", { class: "next" }, isUncertain || !next ? t(fallback) : next),
        isUncertain && problem.retryAfter ? make("p", {}, next) : "",
        make("p", { class: "code" }, `${t("app.code_label")}: `, make("code", {}, code)),
      ];
    }
    if (outcome === "checking") return [make("h2", {}, t("result.checking"))];
    return [make("h2", {}, t("result.ready")), make("p", {}, t(state.note ?? "result.ready_text"))];
  }

  function draw() {
    panel.dataset.outcome = state.outcome;
    find("#result-words").replaceChildren(...words());
    find("#result-retry").hidden = state.outcome !== "uncertain";
    find("#result-clear").hidden = ["ready", "checking"].includes(state.outcome);
  }

  function show(changed) {
    onChange();
    state = changed;
    clearTimeout(timer);
    if (state.outcome === "accepted") {
      timer = setTimeout(() => show({ outcome: "ready", note: "result.cleared" }), STAYS_MS);
    }
    draw();
  }

  find("#result-clear").addEventListener("click", () => show({ outcome: "ready" }));
  find("#result-retry").addEventListener("click", onRetry);
  onLanguage(draw);
  draw();

  return {
    clear: () => show({ outcome: "ready" }),
    checking: () => show({ outcome: "checking" }),
    /** Adds what the resident has agreed to since. */
    add(fields) {
      if (state.outcome !== "accepted") return;
      const answer = { ...state.answer, fields: { ...state.answer.fields, ...fields } };
      show({ ...state, answer, note: t("counter.consented") });
    },
    /** Shows the register's photo beside the fields; it goes with them. */
    photo(scan, source) {
      if (state.outcome !== "accepted" || state.answer.scan !== scan) return;
      state = source ? { ...state, photo: source } : { ...state, note: t("photo.missing") };
      draw();
    },
    /** Says below an accepted scan how asking for more goes. */
    say(key, problem) {
      if (state.outcome !== "accepted") return;
      state.note = key ? t(key) : explain(problem).title;
      draw();
    },
    accepted: (answer) => show({ outcome: "accepted", answer }),
    refused: (problem) => show({ outcome: "refused", problem }),
    uncertain: (problem) => show({ outcome: "uncertain", problem }),
  };
}
