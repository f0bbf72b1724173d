// Base45 (RFC 9285), whose letters are those of a QR code's alphanumeric mode.

const LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";

export function encodeBase45(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 2) {
    const isPair = at + 1 < bytes.length;
    const number = isPair ? bytes[at] * 256 + bytes[at + 1] : bytes[at];
    text += LETTERS[number % 45] + LETTERS[Math.floor(number / 45) % 45];
    if (isPair) text += LETTERS[Math.floor(number / 2025)];
  }
  return text;
}
