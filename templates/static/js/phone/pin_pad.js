// A pad for the payment PIN: its six digits stand in no field, and nowhere once they are given on.

import { make } from "../common/dom.js";
import { onLanguage, t } from "../common/language.js";

const LENGTH = 6;
const KEYS = ["1", "2", "3", "4", "5", "6", "7", "8", "9", null, "0", "back"];

/**
 * Fills `place` with a pad, hidden until it is asked; `onPin(pin)` gets the six digits, which the
 * pad itself has forgotten by then. Gives {ask, close}.
 */
export function makePinPad({ place, onPin }) {
  const words = make("p", { class: "pin-words", role: "status" });
  const dots = make("p", { class: "pin-dots", "aria-hidden": "true" });
  const count = make("p", { class: "unseen", role: "status" });
  const keys = make("div", { class: "keypad", role: "group" }, ...KEYS.map(key));
  let typed = "";
  let asked = null; // the key of the words above the dots
  let isGiven = false; // the dots stay while whoever asked is at work
  dots.append(...Array.from({ length: LENGTH }, () => make("span")));
  place.append(words, dots, count, keys);

  function key(name) {
    if (name === null) return make("span");
    const button = make("button", { type: "button", "data-press": name }, name === "back" ? "⌫" : name);
    button.addEventListener("click", () => press(name));
    return button;
  }

  function draw() {
    place.hidden = asked === null;
    if (!asked) return;
    words.textContent = t(asked);
    keys.setAttribute("aria-label", t(asked));
    keys.querySelector('[data-press="back"]').setAttribute("aria-label", t("till.back"));
    [...dots.children].forEach((dot, at) => dot.classList.toggle("full", isGiven || at < typed.length));
    for (const button of keys.querySelectorAll("button")) button.disabled = isGiven;
    count.textContent = typed ? t("pin.count", { n: typed.length }) : "";
  }

  function press(name) {
    if (asked === null || isGiven) return;
    typed = name === "back" ? typed.slice(0, -1) : typed + name;
    draw();
    if (typed.length < LENGTH) return;
    const pin = typed;
    typed = "";
    isGiven = true;
    draw();
    onPin(pin);
  }

  function set(key) {
    asked = key;
    typed = "";
    isGiven = false;
    draw();
  }

  document.addEventListener("keydown", (event) => {
    const over = document.querySelector("dialog[open]");
    if (place.offsetParent === null || (over && !over.contains(place))) return;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const name = event.key === "Backspace" ? "back" : event.key.normalize("NFKC");
    if (name !== "back" && !/^\d$/.test(name)) return;
    event.preventDefault();
    press(name);
  });
  onLanguage(draw);
  draw();

  return {
    /** Asks anew, with the words of `key`. */
    ask(key) {
      set(key);
      keys.querySelector("button").focus();
      place.scrollIntoView({ block: "nearest" });
    },
    close: () => set(null),
  };
}
