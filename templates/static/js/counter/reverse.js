// The scan the other way round: the desk shows a code, the resident's phone reads and signs it.

import { find, showProblem } from "../common/dom.js";
import { onLanguage, t } from "../common/language.js";
import { drawQr } from "../common/qr_picture.js";

const LOOK_MS = 1000;
const QR_WIDTH = 300;

/**
 * Sets the button and the sheet up. `request()` gives {purpose, case_number}, or null when something
 * is missing; `onAccepted(answer)` and `onRefused(problem)` hear the outcome.
 */
export function makeReverse({ desk, request, onAccepted, onRefused }) {
  const sheet = find("#reverse");
  let turn = 0;
  let endsAt = 0;

  const send = (path, body) =>
    desk.call("POST", `/reverse-scans${path}`, { body, idempotencyKey: crypto.randomUUID() });

  function close() {
    turn += 1;
    if (sheet.open) sheet.close();
  }

  function draw() {
    const left = Math.max(0, Math.ceil((endsAt - Date.now()) / 1000));
    find("#reverse-left").textContent = t("login.left", { s: left });
  }

  async function wait(id, mine) {
    while (mine === turn) {
      draw();
      const { state } = await desk.call("GET", `/reverse-scans/${id}`);
      if (state !== "shown") return state;
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
    return "left";
  }

  async function show() {
    const body = request();
    if (!body) return;
    const mine = ++turn;
    showProblem(find("#reverse-problem"), null);
    try {
      const shown = await send("", { ...body, fields: null });
      endsAt = Date.now() + 60000;
      drawQr(find("#reverse-qr"), shown.qr, QR_WIDTH, { encoding: "byte" });
      draw();
      sheet.showModal();
      const state = await wait(shown.id, mine);
      if (mine !== turn) return;
      if (state === "answered") {
        const answer = await send(`/${shown.id}/collection`, {});
        close();
        onAccepted(answer);
      } else {
        find("#reverse-left").textContent = t("counter.reverse_over");
      }
    } catch (error) {
      if (!error.code) throw error;
      if (mine !== turn) return;
      close();
      onRefused(error);
    }
  }

  find("#reverse-show").addEventListener("click", show);
  find("#reverse-close").addEventListener("click", close);
  sheet.addEventListener("close", () => (turn += 1));
  onLanguage(() => sheet.open && draw());

  return { stop: close };
}
