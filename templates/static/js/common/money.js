// Amounts: whole fen inside, yuan with two decimals for people.

/** "¥12.34" for 1234; with `sign`, "+¥12.34" or "−¥12.34". */
export function yuan(fen, { sign = false } = {}) {
  const size = Math.abs(fen);
  const whole = String(Math.floor(size / 100)).replace(/\B(?=(\d{3})+$)/g, ",");
  const mark = fen < 0 ? "−" : sign ? "+" : "";
  return `${mark}¥${whole}.${String(size % 100).padStart(2, "0")}`;
}

/** The fen in what a person typed ("12.3", "１２", "¥12.34"), or null. No float comes near it. */
export function parseYuan(text) {
  const plain = text.normalize("NFKC").replace(/[¥,\s]/g, "");
  const found = /^(\d{1,9})(?:\.(\d{0,2}))?$/.exec(plain);
  if (!found) return null;
  return Number(found[1]) * 100 + Number((found[2] ?? "").padEnd(2, "0"));
}
