// One bill: what it is for, how much of it to pay, and the receipts of what was paid.

import { find, make, markField, nameOf, onSubmit, showProblem } from "../common/dom.js";
import { moment, onLanguage, t } from "../common/language.js";
import { parseYuan, yuan } from "../common/money.js";

const AGAIN_MS = 1500; // a payment reaches its bill a moment after it was made
const LOOKS = 4;
const MOST_FEN = 5000000; // a payment's; a larger bill is paid in parts

/** The last day of a period, which ends before `date`. */
function dayBefore(date) {
  return new Date(Date.parse(`${date}T00:00:00Z`) - 86400000).toISOString().slice(0, 10);
}

/** Sets the view "bill" up. Gives {show, hold, refresh}. */
export function makeBill({ session, dayOf, onOpened, onFollowed }) {
  const amount = find("#bill-amount");
  let bill = null;
  let isForeign = false;
  let offered = null; // what the amount was filled in for; what was typed since stays

  const most = () => Math.min(bill.open_fen, MOST_FEN);

  function facts() {
    const rows = [
      ["bills.notice", bill.notice_code.replace(/(\d{4})(?=\d)/g, "$1 ")],
      ["bills.period", `${dayOf(bill.period_from)} – ${dayOf(dayBefore(bill.period_to))}`],
      ["bills.due_date", dayOf(bill.due_date)],
    ];
    return rows.map(([key, value]) => make("div", {}, make("dt", {}, t(key)), make("dd", {}, value)));
  }

  function head(name, asked, paid) {
    return make(
      "li",
      { class: "item" },
      make("span", { class: "line-top" }, make("strong", {}, name), make("strong", {}, yuan(asked))),
      paid ? make("span", { class: "line-foot" }, t("bills.paid", { sum: yuan(paid) })) : null,
    );
  }

  function heads() {
    const lines = bill.lines.map((each) => head(nameOf(each), each.amount_fen, each.paid_fen));
    if (bill.surcharge_fen) {
      const paid = bill.paid_fen - bill.lines.reduce((sum, each) => sum + each.paid_fen, 0);
      lines.push(head(t("bills.surcharge"), bill.surcharge_fen, paid));
    }
    return lines;
  }

  function payment(each) {
    const button = make("button", { type: "button", class: "quiet" }, t("bills.receipt"));
    const code = make("span", { class: "line-foot number", role: "status" });
    button.addEventListener("click", () => attempt(() => receipt(each, code)));
    return make(
      "li",
      { class: "item" },
      make(
        "span",
        { class: "line-top" },
        make("strong", {}, yuan(each.amount_fen)),
        make("span", { class: "badge" }, t(`payment.${each.state}`)),
      ),
      each.paid_at ? make("time", { class: "line-foot", datetime: each.paid_at }, moment(each.paid_at)) : null,
      each.paid_at ? button : null,
      code,
    );
  }

  async function receipt(each, place) {
    const found = await session.call("GET", `/bill-payments/${each.id}/receipt`);
    const bytes = Uint8Array.from(atob(found.pdf), (letter) => letter.charCodeAt(0));
    const url = URL.createObjectURL(new Blob([bytes], { type: "application/pdf" }));
    make("a", { href: url, download: `V-Pass-${found.receipt_code}.pdf` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
    const code = found.receipt_code.replace(/(.{4})(?=.)/g, "$1 ");
    place.textContent = t("bills.receipt_code", { code });
  }

  function offer() {
    const payable = `${bill.id} ${most()}`;
    if (offered === payable) return;
    offered = payable;
    amount.value = (most() / 100).toFixed(2);
  }

  function draw() {
    if (!bill) return;
    find("#bill-title").textContent = bill.title;
    find("#bill-biller").textContent = nameOf(bill.biller);
    find("#bill-sum").textContent = yuan(bill.open_fen);
    const due = bill.is_overdue ? "bills.overdue" : `bill.${bill.state}`;
    const state = [t(due, { day: dayOf(bill.due_date) })];
    if (bill.under_way_fen) state.push(t("bills.under_way", { sum: yuan(bill.under_way_fen) }));
    find("#bill-state").textContent = state.join(" · ");
    find("#bill-facts").replaceChildren(...facts());
    find("#bill-heads").replaceChildren(...heads());
    find("#bill-form").hidden = bill.open_fen === 0;
    offer();
    find("#bill-payments").replaceChildren(...bill.payments.map(payment));
    find("#bill-payments-title").hidden = bill.payments.length === 0;
    find("#bill-follow-card").hidden = !isForeign;
  }

  async function attempt(work) {
    const problem = find("#bill-problem");
    showProblem(problem, null);
    try {
      await work();
    } catch (error) {
      if (!error.code) throw error;
      showProblem(problem, error);
    }
  }

  async function look() {
    const code = { notice_code: bill?.notice_code };
    bill = isForeign
      ? await session.call("POST", "/bill-look-ups", { body: code })
      : await session.call("GET", `/bills/${bill.id}`);
    draw();
  }

  async function refresh(words) {
    find("#bill-status").textContent = words ?? "";
    for (let looks = 0; looks < LOOKS; looks += 1) {
      await attempt(look);
      if (!bill.payments.some(({ state, paid_at }) => state === "captured" && !paid_at)) return;
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }

  onSubmit(find("#bill-form"), async () => {
    const fen = parseYuan(amount.value);
    const isGood = fen > 0 && fen <= most();
    markField(amount, isGood ? null : t("bills.amount_bad", { sum: yuan(most()) }));
    if (!isGood) return;
    await session.call("POST", "/bill-payments", {
      body: { notice_code: bill.notice_code, amount_fen: fen },
      idempotencyKey: crypto.randomUUID(),
    });
    onOpened();
  });
  amount.addEventListener("input", () => markField(amount, null));
  find("#bill-follow").addEventListener("click", () =>
    attempt(async () => {
      const body = { notice_code: bill.notice_code };
      bill = await session.call("POST", "/bill-follows", { body });
      isForeign = false;
      draw();
      onFollowed();
    }),
  );
  onLanguage(draw);

  return {
    /** A bill that was found by its notice code, to be shown next. */
    hold(found) {
      bill = found;
      isForeign = true;
    },
    async show(id) {
      find("#bill-status").textContent = "";
      offered = null;
      if (bill?.id !== id) {
        bill = { id };
        isForeign = false;
      } else draw();
      await attempt(look);
    },
    refresh,
  };
}
