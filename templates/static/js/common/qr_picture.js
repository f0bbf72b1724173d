// Draws a code's text as a QR picture on a canvas, each module a whole number of screen pixels.

import { encodeQR } from "../../vendor/qr/index.js";

const QUIET_ZONE = 4;

/**
 * Draws `text`, error level M, as large as `width` CSS pixels allow: a code in alphanumeric mode, a
 * link as "byte".
 */
export function drawQr(canvas, text, width, { encoding = "alphanumeric" } = {}) {
  const rows = encodeQR(text, "raw", {
    ecc: "medium",
    encoding,
    border: QUIET_ZONE,
  });
  const density = window.devicePixelRatio || 1;
  const scale = Math.max(2, Math.floor((width * density) / rows.length));
  const side = rows.length * scale;
  canvas.width = side;
  canvas.height = side;
  canvas.style.width = `${side / density}px`;
  canvas.style.height = `${side / density}px`;
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, side, side);
  pen.fillStyle = "#000";
  rows.forEach((row, y) => {
    row.forEach((isDark, x) => {
      if (isDark) pen.fillRect(x * scale, y * scale, scale, scale);
    });
  });
}
