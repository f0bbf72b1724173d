// How codes come in: a hand scanner that types, paste, and the camera; the same at counter and till.

import { cleanCode } from "../common/code.js";
import { find } from "../common/dom.js";
import { onLanguage, t } from "../common/language.js";
import { openCamera } from "./pictures.js";

const LONG_ENOUGH = 200;
const PAY_CODE = /^86\d{16}$/; // from a bar code; no ID number begins so
const SILENCE_MS = 400;

/**
 * Hears what a hand scanner types into a field. `onCode(code)` gets each code, cleaned of what
 * scanners and input methods do to it, unless `isBusy()`; gives the function that scans a text.
 */
export function hearField(field, { isBusy, onCode }) {
  let silence = null;

  function scan(text) {
    const code = cleanCode(text);
    clearTimeout(silence);
    if (code && !isBusy()) onCode(code);
  }

  // Scanners without an Enter key fall silent instead.
  field.addEventListener("input", () => {
    clearTimeout(silence);
    const isWhole = field.value.length >= LONG_ENOUGH || PAY_CODE.test(cleanCode(field.value));
    if (isWhole) silence = setTimeout(() => scan(field.value), SILENCE_MS);
  });
  return scan;
}

/**
 * Listens to the field "#scanned" and to the camera behind "#camera", as `hearField` does.
 */
export function makeScanner({ isBusy, onCode }) {
  const field = find("#scanned");
  const video = find("#video");
  const problem = find("#camera-problem");
  const scan = hearField(field, { isBusy, onCode });
  let stopCamera = null;

  async function toggleCamera() {
    problem.hidden = true;
    if (stopCamera) {
      stopCamera();
      stopCamera = null;
    } else {
      let lastText = null;
      try {
        stopCamera = await openCamera(video, (text) => {
          // The camera sees the same code many times; it is scanned once.
          if (text === lastText || isBusy()) return;
          lastText = text;
          scan(text);
        });
      } catch {
        problem.textContent = t("scan.camera_none");
        problem.hidden = false;
      }
    }
    video.hidden = !stopCamera;
    drawButton();
  }

  function drawButton() {
    find("#camera").textContent = t(stopCamera ? "scan.camera_stop" : "scan.camera");
  }

  find("#camera").addEventListener("click", toggleCamera);
  onLanguage(drawButton);
  drawButton();

  return {
    field,
    scan,

    /** A scanner types wherever the cursor is: moves a code out of `input`, behind what stood there. */
    takeStray(input) {
      const typed = cleanCode(input.value);
      const start = typed.indexOf("VP1:");
      if (start < 0) return;
      field.value = typed.slice(start);
      input.value = input.value.trim().slice(0, start);
    },

    /** Switches the camera off. */
    rest() {
      if (stopCamera) toggleCamera();
    },
  };
}
