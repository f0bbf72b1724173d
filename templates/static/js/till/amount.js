// The amount: typed, or pressed on the keypad.

import { find, findAll, markField } from "../common/dom.js";
import { t } from "../common/language.js";
import { parseYuan } from "../common/money.js";

const MOST_FEN = 5000000;

/** Sets the amount up; gives {read, clear}. */
export function makeAmount() {
  const field = find("#amount");

  for (const button of findAll("#keypad button")) {
    button.addEventListener("click", () => {
      const press = button.dataset.press;
      const next = press === "back" ? field.value.slice(0, -1) : field.value + press;
      if (next === "" || parseYuan(next.replace(/^\./, "0.")) !== null) field.value = next;
      markField(field, null);
    });
  }
  field.addEventListener("input", () => markField(field, null));

  return {
    /** The fen that stand there, or null after saying what is wrong with them. */
    read() {
      const fen = parseYuan(field.value.replace(/^\./, "0."));
      const isGood = fen !== null && fen >= 1 && fen <= MOST_FEN;
      markField(field, isGood ? null : t("till.amount_bad"));
      return isGood ? fen : null;
    },
    clear() {
      field.value = "";
      markField(field, null);
    },
  };
}
