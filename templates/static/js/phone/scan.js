// Paying by a merchant's QR or link: read by the camera, from a picture, pasted, or followed.

import { Problem } from "../common/api.js";
import { find, markField, onSubmit, shownView, showProblem } from "../common/dom.js";
import { onLanguage, t } from "../common/language.js";
import { parseYuan } from "../common/money.js";

const IN_LINK = /^#pay=([0-9A-F]{32}\.[0-9A-F]{16})$/;
const ORDER = /^#order=([0-9a-f-]{36})$/; // a merchant's app leads to what it has asked for
const PRINTED = /^000201010211/; // EMV: format 01, a code without an amount
const MOST_FEN = 5000000;

/** The payee's name in a merchant's QR, for reading only: object 59 of EMV's rows of id, length, value. */
export function payeeIn(text) {
  for (let at = 0; at + 4 <= text.length; ) {
    const length = Number(text.slice(at + 2, at + 4));
    if (text.slice(at, at + 2) === "59") return text.slice(at + 4, at + 4 + length);
    at += 4 + (length || text.length);
  }
  return "";
}

/** Sets the view "scan" up; `onBegun` gets the id of each payment that waits. Gives {rest, say, attend}. */
export function makeScan({ session, onBegun }) {
  const video = find("#scan-video");
  const problem = find("#scan-problem");
  const field = find("#scan-text");
  const amount = find("#scan-amount");
  let printed = null; // a text that waits for its amount
  let stopCamera = null;
  let isBusy = false;
  // One wish, one key: a repeat after a lost answer begins no second payment.
  let wish = null;

  function draw() {
    find("#scan-camera").textContent = t(stopCamera ? "scan.camera_stop" : "scan.camera");
    video.hidden = !stopCamera;
    find("#scan-ways").hidden = Boolean(printed);
    find("#scan-amount-form").hidden = !printed;
    if (printed) find("#scan-payee").textContent = payeeIn(printed);
  }

  function rest() {
    stopCamera?.();
    stopCamera = printed = null;
    find("#scan-status").textContent = "";
    field.value = amount.value = "";
    showProblem(problem, null);
    draw();
  }

  async function begin(body) {
    const same = JSON.stringify(body);
    if (wish?.same !== same) wish = { same, key: crypto.randomUUID() };
    const begun = await session.call("POST", "/scanned-payments", { body, idempotencyKey: wish.key });
    wish = null;
    rest();
    await onBegun(begun.id);
  }

  async function attempt(work) {
    if (isBusy) return;
    isBusy = true;
    showProblem(problem, null);
    try {
      await work();
    } catch (error) {
      if (!error.code) throw error;
      showProblem(problem, error);
    } finally {
      isBusy = false;
    }
  }

  /** A printed code waits for the payer's amount; every other one has its own. */
  async function take(scanned) {
    const text = scanned.normalize("NFKC").trim();
    if (!PRINTED.test(text)) return begin({ text });
    rest();
    printed = text;
    draw();
    amount.focus();
  }

  async function takePicture(file) {
    const { readPicture } = await import("../scanning/pictures.js");
    const text = await readPicture(file);
    if (!text) throw new Problem({ code: "picture.no_code", status: 422 });
    await take(text);
  }

  async function toggleCamera() {
    if (stopCamera) {
      rest();
      return;
    }
    const { openCamera } = await import("../scanning/pictures.js");
    let lastText = null;
    try {
      stopCamera = await openCamera(video, (text) => {
        // The camera sees the same code many times; it is taken once.
        if (text === lastText || isBusy) return;
        lastText = text;
        attempt(() => take(text));
      });
    } catch {
      throw new Problem({ code: "camera.none", status: 422 });
    }
    if (shownView() !== "scan") rest(); // left before the camera was ready
    draw();
  }

  onSubmit(find("#scan-form"), async () => {
    if (field.value.trim()) await take(field.value);
    else field.focus();
  });
  onSubmit(find("#scan-amount-form"), async () => {
    const fen = parseYuan(amount.value);
    const isGood = fen !== null && fen >= 1 && fen <= MOST_FEN;
    markField(amount, isGood ? null : t("till.amount_bad"));
    if (isGood) await begin({ text: printed, amount_fen: fen });
  });
  amount.addEventListener("input", () => markField(amount, null));
  find("#scan-again").addEventListener("click", rest);
  find("#scan-camera").addEventListener("click", () => attempt(toggleCamera));
  find("#scan-picture").addEventListener("change", async (event) => {
    const [file] = event.target.files;
    event.target.value = "";
    if (file) await attempt(() => takePicture(file));
  });
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
    if (!file || shownView() !== "scan") return;
    event.preventDefault();
    attempt(() => takePicture(file));
  });
  document.addEventListener("visibilitychange", () => document.hidden && stopCamera && rest());
  onLanguage(draw);

  return {
    /** Empties the view, and switches the camera off. */
    rest,
    say(words) {
      find("#scan-status").textContent = words;
    },
    /** Asks about the payment of the link by which the page was opened, if it was. */
    async attend() {
      const [, link] = IN_LINK.exec(location.hash) ?? [];
      const [, order] = ORDER.exec(location.hash) ?? [];
      if (!link && !order) return;
      history.replaceState(null, "", "#scan");
      await attempt(() => (order ? onBegun(order) : begin({ text: `${session.publicUrl}/pay/${link}` })));
    },
  };
}
