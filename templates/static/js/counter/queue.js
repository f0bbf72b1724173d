// The queue beside the desk: who is here, whom to call next, who waits.

import { find, make, showProblem } from "../common/dom.js";
import { inLanguage, moment, onLanguage, t } from "../common/language.js";

const WATCH_MS = 5000;
const TIME = { timeStyle: "short" };
// What can be done with a ticket in each state, the most likely first.
const STEPS = { called: ["serve", "recall", "miss"], serving: ["finish"] };

function line(ticket) {
  const since = moment(ticket.booked_at ?? ticket.issued_at, TIME);
  const kind = t(ticket.booked_at ? "arrive.booked_at" : "arrive.walked_in");
  const where = ticket.desk ? `${t(`ticket.${ticket.state}`)} · ${inLanguage(ticket.desk)}` : "";
  return make(
    "li",
    { "data-ticket": ticket.label },
    make("strong", {}, ticket.label),
    make("span", {}, inLanguage(ticket.service), make("small", {}, where || `${kind} ${since}`)),
  );
}

/**
 * Sets the queue up; `onServices` hears what the organisation offers, `onRefused` of each refusal and
 * says whether the session still holds. Gives {start, stop, look}.
 */
export function makeQueue({ desk, onServices, onRefused }) {
  let queue = null;
  let isBusy = false;
  let timer = null;
  let isRunning = false;

  function button(name) {
    const isFirst = name === "serve" || name === "finish";
    const made = make(
      "button",
      { type: "button", class: isFirst ? "main" : "", "data-step": name },
      t(`queue.${name}`),
    );
    made.addEventListener("click", () => act(`/tickets/${queue.mine.id}/${name}`));
    return made;
  }

  function draw() {
    find("#queue").hidden = !queue || queue.services.length === 0;
    if (!queue) return;
    const { mine } = queue;
    find("#queue-count").textContent = t("queue.count", { n: queue.waiting_count });
    find("#mine-number").textContent = mine?.label ?? "";
    find("#mine-text").textContent = mine
      ? `${t(`ticket.${mine.state}`)} · ${inLanguage(mine.service)} · ${t("queue.calls", { n: mine.calls })}`
      : t("queue.mine_none");
    find("#mine").dataset.state = mine?.state ?? "free";
    find("#mine-steps").replaceChildren(...(mine ? STEPS[mine.state].map(button) : []));
    find("#call-next").hidden = Boolean(mine);
    find("#call-next").disabled = queue.waiting_count === 0;
    const elsewhere = queue.at_desks.filter(({ id }) => id !== mine?.id);
    find("#waiting").replaceChildren(...elsewhere.map(line), ...queue.waiting.map(line));
    find("#waiting-none").hidden = queue.waiting.length > 0;
  }

  async function look() {
    clearTimeout(timer);
    if (!isRunning) return;
    try {
      const found = await desk.call("GET", "/queue");
      if (!isRunning) return;
      const isNew = JSON.stringify(found) !== JSON.stringify(queue);
      queue = found;
      if (isNew) draw();
      onServices(found.services);
    } catch (error) {
      if (!error.code) throw error;
      if (!onRefused(error)) return;
    }
    timer = setTimeout(look, WATCH_MS);
  }

  /** One step at a time; afterwards the cursor stands on what comes next. */
  async function act(path) {
    if (isBusy) return;
    isBusy = true;
    showProblem(find("#queue-problem"), null);
    try {
      await desk.call("POST", path, { body: {}, idempotencyKey: crypto.randomUUID() });
    } catch (error) {
      if (!error.code) throw error;
      showProblem(find("#queue-problem"), error);
    } finally {
      isBusy = false;
    }
    await look();
    const next = find("#mine-steps button") ?? find("#call-next");
    if (!next.disabled) next.focus();
  }

  find("#call-next").addEventListener("click", () => act("/queue/next"));
  onLanguage(draw);

  return {
    look,
    start() {
      isRunning = true;
      queue = null;
      look();
    },
    stop() {
      isRunning = false;
      clearTimeout(timer);
      queue = null;
      draw();
    },
  };
}
