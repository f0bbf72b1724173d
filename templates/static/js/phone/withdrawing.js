// Money that goes back to the resident's own bank account, and how far it has come.

import { find, make, markField, nameOf, onSubmit, shownView, showProblem } from "../common/dom.js";
import { moment, onLanguage, t } from "../common/language.js";
import { parseYuan, yuan } from "../common/money.js";

const WATCH_MS = 3000;
const TONES = { booked: "accepted", rejected: "refused", never_arrived: "refused" };

const accountName = ({ bank, account_last4: last4 }) => `${nameOf(bank)} ···${last4}`;

function entry(withdrawal) {
  const badge = make(
    "span",
    { class: `badge ${TONES[withdrawal.state] ?? ""}` },
    t(`withdrawal.${withdrawal.state}`),
  );
  return make(
    "li",
    { class: "line" },
    make("span", { class: "line-top" }, make("strong", {}, yuan(withdrawal.amount_fen)), badge),
    make("span", {}, accountName(withdrawal)),
    make(
      "span",
      { class: "line-foot" },
      make("time", { datetime: withdrawal.created_at }, moment(withdrawal.created_at)),
      ` · ${withdrawal.reference}`,
    ),
  );
}

/** Sets the view "withdraw" up; gives {show}. */
export function makeWithdrawing({ session }) {
  const form = find("#withdraw-form");
  const amount = find("#withdraw-amount");
  const problem = find("#withdraw-problem");
  let accounts = null;
  let withdrawals = [];
  let available = 0;
  let watch = null;
  // One wish, one key: a repeat after a lost answer is the same withdrawal.
  let wish = null;

  function draw() {
    if (!accounts) return;
    form.hidden = accounts.length === 0;
    find("#withdraw-none").hidden = accounts.length > 0;
    const chosen = find("#withdraw-account").value;
    find("#withdraw-account").replaceChildren(
      ...accounts.map((each) => make("option", { value: each.id, selected: each.id === chosen }, accountName(each))),
    );
    find("#withdraw-available").textContent = t("money.available", { sum: yuan(available) });
    find("#withdrawals").replaceChildren(...withdrawals.map(entry));
    find("#withdrawals-title").hidden = withdrawals.length === 0;
  }

  async function load() {
    clearTimeout(watch);
    try {
      const [wallet, sources, page] = await Promise.all([
        session.call("GET", "/wallet"),
        session.call("GET", "/funding-sources"),
        session.call("GET", "/withdrawals?limit=10"),
      ]);
      available = wallet.available_fen;
      accounts = sources.items;
      withdrawals = page.items;
      showProblem(problem, null);
      draw();
    } catch (error) {
      if (!error.code) throw error;
      showProblem(problem, error);
    }
    // While a bank has not said its word, the list looks again.
    if (withdrawals.every(({ state }) => state in TONES)) return;
    watch = setTimeout(() => shownView() === "withdraw" && load(), WATCH_MS);
  }

  onSubmit(form, async () => {
    const fen = parseYuan(amount.value);
    const isGood = fen !== null && fen >= 1 && fen <= available;
    markField(amount, isGood ? null : t("withdraw.bad", { sum: yuan(available) }));
    if (!isGood) return;
    const body = { amount_fen: fen, source_id: find("#withdraw-account").value };
    const same = JSON.stringify(body);
    if (wish?.same !== same) wish = { same, key: crypto.randomUUID() };
    await session.call("POST", "/withdrawals", { body, idempotencyKey: wish.key });
    wish = null;
    amount.value = "";
    await load();
  });
  amount.addEventListener("input", () => markField(amount, null));
  onLanguage(draw);

  return { show: load };
}
