// A number to say at a counter, where a clerk sees face and document: to level 3, or to be enrolled.

import { find, findAll, showProblem } from "../common/dom.js";
import { moment, onLanguage, t } from "../common/language.js";

/**
 * Sets each place with the class "raise" up; `onLevel` hears of the level as it is after the visit,
 * when it has risen. Gives {show}, which hides the places from a person who needs none.
 */
export function makeRaising({ session, onLevel }) {
  let known = 1;
  let shown = null;

  function words() {
    if (!shown) return "";
    const until = moment(shown.expires_at, { timeStyle: "short" });
    return t("raise.shown", { number: shown.number.replace(/(....)/, "$1 "), until });
  }

  function setUp(place) {
    const alert = find(".problem", place);
    const said = find(".raise-said", place);

    async function doing(work) {
      showProblem(alert, null);
      try {
        await work();
      } catch (error) {
        if (!error.code) throw error;
        showProblem(alert, error);
      }
    }

    find(".raise-number", place).addEventListener("click", () =>
      doing(async () => {
        shown = await session.call("POST", "/counter-numbers", { idempotencyKey: crypto.randomUUID() });
        said.textContent = words();
        find(".raise-done", place).hidden = false;
      }),
    );
    find(".raise-done", place).addEventListener("click", () =>
      doing(async () => {
        const { level } = await session.call("GET", "/me");
        const hasRisen = level > known;
        said.textContent = t(hasRisen ? "raise.reached" : "raise.not_yet");
        if (!hasRisen) return;
        shown = null;
        find(".raise-done", place).hidden = true;
        await onLevel(level);
      }),
    );
    onLanguage(() => (said.textContent = words()));
  }

  const places = findAll(".raise");
  places.forEach(setUp);

  return {
    show(level) {
      known = level;
      for (const place of places) place.hidden = level >= 3;
    },
  };
}
