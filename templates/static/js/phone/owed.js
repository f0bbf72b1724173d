// What the resident owes: fares and fees that wait for money in the wallet.

import { find, make, nameOf } from "../common/dom.js";
import { moment, onLanguage, t } from "../common/language.js";
import { yuan } from "../common/money.js";

function entry(charge) {
  return make(
    "li",
    { class: "line" },
    make(
      "span",
      { class: "line-top" },
      make("strong", {}, nameOf(charge.payee)),
      make("strong", {}, yuan(charge.amount_fen)),
    ),
    make(
      "span",
      { class: "line-foot" },
      `${charge.title} · `,
      make("time", { datetime: charge.created_at }, moment(charge.created_at)),
    ),
  );
}

/** Sets the list up; gives {show}. */
export function makeOwed({ session }) {
  let charges = [];

  function draw() {
    find("#owed").hidden = charges.length === 0;
    const sum = charges.reduce((total, charge) => total + charge.amount_fen, 0);
    find("#owed-sum").textContent = t("owed.sum", { sum: yuan(sum) });
    find("#owed-lines").replaceChildren(...charges.map(entry));
  }

  onLanguage(draw);

  return {
    async show() {
      try {
        charges = (await session.call("GET", "/charges?limit=100")).items;
        draw();
      } catch (error) {
        if (!error.code) throw error; // the wallet above says what is wrong
      }
    },
  };
}
