// Draws digits as a Code 128 bar code (ISO/IEC 15417) on a canvas, for scanners that read bars only.

// Bars and spaces by turns, in modules, by the value of each symbol.
const WIDTHS = `
  212222 222122 222221 121223 121322 131222 122213 122312 132212 221213 221312 231212 112232 122132
  122231 113222 123122 123221 223211 221132 221231 213212 223112 312131 311222 321122 321221 312212
  322112 322211 212123 212321 232121 111323 131123 131321 112313 132113 132311 211313 231113 231311
  112133 112331 132131 113123 113321 133121 313121 211331 231131 213113 213311 213131 311123 311321
  331121 312113 312311 332111 314111 221411 431111 111224 111422 121124 121421 141122 141221 112214
  112412 122114 122411 142112 142211 241211 221114 413111 241112 134111 111242 121142 121241 114212
  124112 124211 411212 421112 421211 212141 214121 412121 111143 111341 131141 114113 114311 411113
  411311 113141 114131 311141 411131 211412 211214 211232`.trim().split(/\s+/);
const START_C = 105; // from here on two digits to each symbol
const STOP = "2331112";
const QUIET_ZONE = 10;

/** The widths of bars and spaces by turns, in modules, for an even number of digits. */
export function barsOf(digits) {
  const values = [START_C, ...digits.match(/../g).map(Number)];
  const check = values.reduce((sum, value, at) => sum + value * Math.max(1, at), 0) % 103;
  return [...[...values, check].map((value) => WIDTHS[value]), STOP].join("").split("").map(Number);
}

/** Draws them as wide as `width` CSS pixels allow, each module a whole number of screen pixels. */
export function drawBars(canvas, digits, width, height) {
  const widths = barsOf(digits);
  const modules = 2 * QUIET_ZONE + widths.reduce((sum, each) => sum + each, 0);
  const density = window.devicePixelRatio || 1;
  const scale = Math.max(1, Math.floor((width * density) / modules));
  canvas.width = modules * scale;
  canvas.height = Math.round(height * density);
  canvas.style.width = `${canvas.width / density}px`;
  canvas.style.height = `${height}px`;
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.fillStyle = "#000";
  let x = QUIET_ZONE * scale;
  widths.forEach((each, at) => {
    if (at % 2 === 0) pen.fillRect(x, 0, each * scale, canvas.height);
    x += each * scale;
  });
}
