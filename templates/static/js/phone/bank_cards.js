// Bank cards in Cloud Pay: what pays at a till, and topping the wallet up from a card.

import { find, make, markField, showProblem } from "../common/dom.js";
import { onLanguage, t } from "../common/language.js";
import { parseYuan, yuan } from "../common/money.js";

const MOST_FEN = 5000000;
const ASK_EVERY_MS = 1500;
const ASKS = 20;
const SPLIT = ["balance", "bank_card"];
const ENDED = ["booked", "rejected", "never_arrived"];

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Sets both up; `onCredited` hears that a top-up has come in. Gives {show}. */
export function makeBankCards({ session, onCredited }) {
  const problem = find("#source-problem");
  const form = find("#top-up-form");
  const amount = find("#top-up-amount");
  const split = find("#source-split");
  let cards = [];
  let source = null;
  let note = null;
  let isBusy = false;
  // One wish, one key: a repeat after a lost answer is the same top-up.
  let wish = null;

  const nameOfCard = (card) => t("source.card", { last4: card.last4 });

  function option(card) {
    const id = card?.id ?? "";
    const fault = card?.fault ? make("small", {}, t("source.unusable")) : null;
    return make(
      "label",
      {},
      make("input", {
        type: "radio",
        name: "source",
        value: id,
        checked: (source.card_id ?? "") === id,
        disabled: Boolean(card?.fault),
      }),
      make("span", {}, card ? nameOfCard(card) : t("source.balance"), fault),
    );
  }

  function draw() {
    if (!source) return;
    find("#sources").hidden = cards.length === 0;
    find("#source-list").replaceChildren(option(null), ...cards.map(option));
    find("#source-split-line").hidden = !source.card_id;
    split.checked = source.order.length > 1;
    const usable = cards.filter((card) => !card.fault);
    form.hidden = usable.length === 0;
    const chosen = find("#top-up-card").value;
    find("#top-up-card").replaceChildren(
      ...usable.map((card) => make("option", { value: card.id, selected: card.id === chosen }, nameOfCard(card))),
    );
    find("#top-up-status").textContent = note ? t(note.key, note.values) : "";
  }

  async function load() {
    try {
      const [wallet, chosen] = await Promise.all([
        session.call("GET", "/cards"),
        session.call("GET", "/payment-source"),
      ]);
      cards = wallet.items.filter((card) => card.card_type === "bank");
      source = chosen;
      draw();
    } catch (error) {
      if (!error.code) throw error;
      showProblem(problem, error);
    }
  }

  async function choose(cardId) {
    showProblem(problem, null);
    try {
      const body = { card_id: cardId || null, version: source.version };
      if (cardId && split.checked) body.order = SPLIT;
      source = await session.call("PUT", "/payment-source", { body });
      draw();
    } catch (error) {
      if (!error.code) throw error;
      await load(); // what pays now is what stands there
      showProblem(problem, error);
    }
  }

  async function follow(begun) {
    let now = begun;
    for (let asks = 0; asks < ASKS && !ENDED.includes(now.state); asks += 1) {
      await pause(ASK_EVERY_MS);
      try {
        now = await session.call("GET", `/top-ups/${begun.id}`);
      } catch (error) {
        if (!error.code) throw error; // without network it is asked again
      }
    }
    const key = { booked: "top_up.booked", rejected: "top_up.rejected", never_arrived: "top_up.rejected" };
    note = { key: key[now.state] ?? "top_up.waiting", values: { sum: yuan(begun.amount_fen) } };
    draw();
    if (now.state === "booked") onCredited();
  }

  async function topUp() {
    const fen = parseYuan(amount.value);
    const isGood = fen !== null && fen >= 1 && fen <= MOST_FEN;
    markField(amount, isGood ? null : t("till.amount_bad"));
    if (!isGood || isBusy) return;
    isBusy = true;
    const body = { card_id: find("#top-up-card").value, amount_fen: fen };
    if (wish?.text !== JSON.stringify(body)) wish = { text: JSON.stringify(body), key: crypto.randomUUID() };
    const place = find("#top-up-problem");
    showProblem(place, null);
    try {
      const begun = await session.call("POST", "/top-ups", { body, idempotencyKey: wish.key });
      wish = null;
      amount.value = "";
      note = { key: "top_up.waiting", values: { sum: yuan(fen) } };
      draw();
      follow(begun);
    } catch (error) {
      if (!error.code) throw error;
      showProblem(place, error);
    } finally {
      isBusy = false;
    }
  }

  find("#source-list").addEventListener("change", (event) => choose(event.target.value));
  split.addEventListener("change", () => choose(source.card_id));
  form.noValidate = true;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    topUp();
  });
  amount.addEventListener("input", () => markField(amount, null));
  onLanguage(draw);

  return { show: load };
}
