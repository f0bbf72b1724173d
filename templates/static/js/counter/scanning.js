// Scanning: hand scanner, paste, picture, camera; one scan at a time, and ready for the next.

import { Problem } from "../common/api.js";
import { cleanCode } from "../common/code.js";
import { fieldName, find, make, markField } from "../common/dom.js";
import { inLanguage, listed, onLanguage, t } from "../common/language.js";
import { makeAsking } from "./asking.js";
import { openCamera, readPicture } from "./pictures.js";
import { makeResult } from "./result.js";

const LONG_ENOUGH = 200;
const SILENCE_MS = 400;
const TRIES = 3;
const SESSION_OVER = ["token.unknown", "caller.not_authenticated"];
const BETWEEN_TRIES_MS = 700;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Sets the scanning view up; `onSessionOver` hears that the session no longer holds. */
export function makeScanning({ desk, onSessionOver }) {
  const field = find("#scanned");
  const purpose = find("#purpose");
  const caseNumber = find("#case-number");
  let purposes = [];
  let last = null;
  let isBusy = false;
  let stopCamera = null;
  let silence = null;

  const result = makeResult({ onRetry: () => last && send(last), onChange: () => asking.offer(null) });
  const asking = makeAsking({ desk, onReleased: result.add, onWords: result.say });

  function drawPurposes() {
    const chosen = purpose.value;
    purpose.replaceChildren(
      ...purposes.map((item) => make("option", { value: item.code }, inLanguage(item))),
    );
    if (purposes.some((item) => item.code === chosen)) purpose.value = chosen;
    describePurpose();
  }

  function describePurpose() {
    const item = purposes.find(({ code }) => code === purpose.value);
    find("#will-see").textContent = item
      ? t("scan.will_see", { fields: listed(item.fields.map(fieldName)) })
      : t("scan.no_purpose");
  }

  function ready() {
    field.value = "";
    field.focus();
  }

  /** Sends one scan; a lost answer is asked for again under the same key, which cannot count twice. */
  async function send(scan) {
    if (isBusy) return;
    isBusy = true;
    last = scan;
    result.checking();
    try {
      for (let tries = 1; ; tries += 1) {
        try {
          const options = { body: scan.body, idempotencyKey: scan.key };
          const answer = await desk.call("POST", "/scans", options);
          result.accepted(answer);
          // Who acts for another cannot consent for them.
          const item = purposes.find(({ code }) => code === scan.body.purpose);
          if (!answer.acting) asking.offer(answer.scan, item?.may_ask);
          caseNumber.value = "";
          break;
        } catch (error) {
          if (!error.code) throw error;
          if (!error.isUncertain || tries === TRIES) {
            judge(error);
            break;
          }
          await pause(BETWEEN_TRIES_MS * tries);
        }
      }
    } finally {
      isBusy = false;
      ready();
      if (caseNumber.getAttribute("aria-invalid")) caseNumber.focus();
    }
  }

  function judge(problem) {
    if (problem.isUncertain) result.uncertain(problem);
    else result.refused(problem);
    if (SESSION_OVER.includes(problem.code)) onSessionOver();
    if (problem.errors.some((error) => error.field === "case_number")) {
      markField(caseNumber, t("scan.case_bad"));
    }
  }

  function scan(text) {
    const code = cleanCode(text);
    clearTimeout(silence);
    if (!code || isBusy) return;
    const number = caseNumber.value.trim();
    markField(caseNumber, number ? null : t("scan.case_missing"));
    if (!number) {
      // The code waits in its field; the number and Enter send both.
      result.clear();
      field.value = code;
      return;
    }
    const body = { code, purpose: purpose.value, case_number: number };
    send({ body, key: crypto.randomUUID() });
  }

  async function scanPicture(file) {
    if (isBusy) return;
    result.checking();
    const text = await readPicture(file);
    if (text) {
      scan(text);
      return;
    }
    result.refused(new Problem({ code: "picture.no_code", status: 422 }));
    ready();
  }

  async function toggleCamera() {
    const video = find("#video");
    const problem = find("#camera-problem");
    problem.hidden = true;
    if (stopCamera) {
      stopCamera();
      stopCamera = null;
    } else {
      let lastText = null;
      try {
        stopCamera = await openCamera(video, (text) => {
          // The camera sees the same code many times; it is scanned once.
          if (text === lastText || isBusy) return;
          lastText = text;
          scan(text);
        });
      } catch {
        problem.textContent = t("scan.camera_none");
        problem.hidden = false;
      }
    }
    video.hidden = !stopCamera;
    drawCameraButton();
  }

  function drawCameraButton() {
    find("#camera").textContent = t(stopCamera ? "scan.camera_stop" : "scan.camera");
  }

  find("#scan-form").noValidate = true;
  find("#scan-form").addEventListener("submit", (event) => {
    event.preventDefault();
    // A scanner types wherever the cursor is, here into the case number.
    const stray = cleanCode(caseNumber.value).indexOf("VP1:");
    if (stray >= 0) {
      field.value = cleanCode(caseNumber.value).slice(stray);
      caseNumber.value = caseNumber.value.trim().slice(0, stray);
    }
    if (!field.value.trim()) field.focus();
    scan(field.value);
  });
  // Scanners without an Enter key fall silent instead.
  field.addEventListener("input", () => {
    clearTimeout(silence);
    if (field.value.length >= LONG_ENOUGH) silence = setTimeout(() => scan(field.value), SILENCE_MS);
  });
  // A scan must not get lost because somebody clicked elsewhere.
  document.addEventListener("keydown", (event) => {
    const isTyping = ["INPUT", "SELECT", "BUTTON", "A"].includes(document.activeElement?.tagName);
    const isText = event.key.length === 1 && !event.ctrlKey && !event.metaKey && !event.altKey;
    if (!find('[data-view="scan"]').hidden && isText && !isTyping) field.focus();
  });
  purpose.addEventListener("change", describePurpose);
  find("#picture").addEventListener("change", async (event) => {
    const [file] = event.target.files;
    event.target.value = "";
    if (file) await scanPicture(file);
  });
  find("#camera").addEventListener("click", toggleCamera);
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
    if (!file || find('[data-view="scan"]').hidden) return;
    event.preventDefault();
    scanPicture(file);
  });
  const place = find('[data-view="scan"]');
  place.addEventListener("dragover", (event) => {
    event.preventDefault();
    find("#drop").classList.add("over");
  });
  place.addEventListener("dragleave", () => find("#drop").classList.remove("over"));
  place.addEventListener("drop", (event) => {
    event.preventDefault();
    find("#drop").classList.remove("over");
    const [file] = event.dataTransfer.files;
    if (file) scanPicture(file);
  });
  onLanguage(() => {
    drawPurposes();
    drawCameraButton();
    markField(caseNumber, null);
  });

  return {
    start(session) {
      purposes = session.purposes;
      drawPurposes();
      result.clear();
      field.focus();
    },
    stop() {
      if (stopCamera) toggleCamera();
      last = null;
      result.clear();
      caseNumber.value = field.value = "";
    },
  };
}
