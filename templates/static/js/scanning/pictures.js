// Finds the QR code in a picture or in what the camera sees; nothing leaves the browser for it.

import { decodeQR } from "../../vendor/qr/decode.js";

const LARGEST = 2000;
const CAMERA_EVERY_MS = 200;

function read(source, width, height, effort) {
  const canvas = new OffscreenCanvas(width, height);
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  // Transparent pictures are read as on paper.
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, width, height);
  pen.drawImage(source, 0, 0, width, height);
  try {
    return decodeQR(pen.getImageData(0, 0, width, height), effort);
  } catch {
    return null;
  }
}

/** The text of the code in a picture file, or null when there is none to be read. */
export async function readPicture(file) {
  let picture;
  try {
    picture = await createImageBitmap(file);
  } catch {
    return null;
  }
  const shrink = Math.min(1, LARGEST / Math.max(picture.width, picture.height));
  for (const scale of [shrink, shrink / 2]) {
    const width = Math.max(1, Math.round(picture.width * scale));
    const height = Math.max(1, Math.round(picture.height * scale));
    const text = read(picture, width, height, { effort: 3, timeLimit: 1500 });
    if (text) return text;
  }
  return null;
}

/** Shows the camera in `video` and calls `onText` with each text read; gives a function to stop. */
export async function openCamera(video, onText) {
  const stream = await navigator.mediaDevices.getUserMedia({
    video: { facingMode: "environment", width: { ideal: 1280 } },
  });
  video.srcObject = stream;
  await video.play();
  const timer = setInterval(() => {
    const { videoWidth: width, videoHeight: height } = video;
    if (!width) return;
    const text = read(video, width, height, { timeLimit: CAMERA_EVERY_MS / 2 });
    if (text) onText(text);
  }, CAMERA_EVERY_MS);
  return () => {
    clearInterval(timer);
    stream.getTracks().forEach((track) => track.stop());
    video.srcObject = null;
  };
}
