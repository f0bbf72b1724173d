// The wallet: what is in it, the number to top it up by, and what was paid from it.

import { find, make, nameOf, shownView, showProblem } from "../common/dom.js";
import { moment, onLanguage, t } from "../common/language.js";
import { yuan } from "../common/money.js";
import { makeBankCards } from "./bank_cards.js";
import { makeOwed } from "./owed.js";
import { makeShops } from "./shops.js";
import { wayOf } from "./way.js";

const DECIDED = {
  captured: "accepted",
  resolved: "accepted",
  failed: "refused",
  expired: "refused",
  reversed: "refused",
};

function entry(session, payment) {
  const refunded = payment.refunded_fen
    ? ` — ${t("money.refunded", { sum: yuan(payment.refunded_fen) })}`
    : "";
  const badge = make(
    "span",
    { class: `badge ${DECIDED[payment.state] ?? ""}` },
    t(`payment.${payment.state}`),
  );
  return make(
    "li",
    { class: "line" },
    make("span", { class: "line-top" }, make("strong", {}, nameOf(payment.payee)), badge),
    make("span", { class: "line-top" }, make("span", {}, payment.title), make("strong", {}, yuan(payment.amount_fen))),
    make(
      "span",
      { class: "line-foot" },
      make("time", { datetime: payment.created_at }, moment(payment.created_at)),
      payment.card_last4 ? ` · ${t("source.card", { last4: payment.card_last4 })}` : "",
      refunded,
    ),
    wayOf({ session, id: payment.id }),
  );
}

/** Sets the view up; gives {show}. */
export function makeMoney({ session }) {
  const owed = makeOwed({ session });
  const shops = makeShops({ session });
  const bankCards = makeBankCards({ session, onCredited: () => load(null) });
  let wallet = null;
  let payments = [];
  let next = null;

  function draw() {
    if (wallet) {
      find("#balance").textContent = yuan(wallet.balance_fen);
      const isHeld = wallet.available_fen !== wallet.balance_fen;
      find("#available").textContent = isHeld
        ? t("money.available", { sum: yuan(wallet.available_fen) })
        : "";
      find("#top-up-number").textContent = wallet.top_up_number.replace(/(\d{4})(?=\d)/g, "$1 ");
    }
    find("#paid").replaceChildren(...payments.map((payment) => entry(session, payment)));
    find("#paid-more").hidden = !next;
    find("#paid-none").hidden = payments.length > 0;
  }

  async function load(cursor) {
    if (!cursor) {
      owed.show();
      shops.show();
    }
    const problem = find("#money-problem");
    showProblem(problem, null);
    try {
      const query = cursor ? `?cursor=${encodeURIComponent(cursor)}` : "";
      const [standing, page] = await Promise.all([
        session.call("GET", "/wallet"),
        session.call("GET", `/payments${query}`),
      ]);
      wallet = standing;
      payments = cursor ? [...payments, ...page.items] : page.items;
      next = page.next;
      draw();
    } catch (error) {
      if (!error.code) throw error;
      showProblem(problem, error);
    }
  }

  find("#paid-more").addEventListener("click", () => load(next));
  onLanguage(() => wallet && draw());

  return {
    show() {
      load(null);
      bankCards.show();
    },
    /** Something was paid: what is on the screen is old. */
    refresh: () => shownView() === "money" && load(null),
  };
}
