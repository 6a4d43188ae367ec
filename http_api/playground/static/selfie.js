// The selfie from a file, the clipboard, a drop or the camera; reduced here and kept in memory only.

import { announce, byId } from "./dom.js";

const LONGEST = 1280;
const MOST_BYTES = 7 * 1024 * 1024;
let current = null;

/** The selfie as base64, or null. */
export const selfieText = () => current?.text ?? null;

export async function setSelfie(file) {
  if (!file) return;
  try {
    current = await shrunk(file);
  } catch (error) {
    byId("drop-text").textContent = error.message;
    announce(error.message);
    return;
  }
  show();
  announce("The selfie is ready.");
}

export function clearSelfie() {
  current = null;
  show();
}

async function shrunk(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    // For example HEIC, which this browser can't open but the service can.
    if (file.size > MOST_BYTES) throw new Error("This picture is larger than 7 MB and can’t be made smaller here.");
    return { text: await base64(file), canvas: null };
  }
  const scale = Math.min(1, LONGEST / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
  return { text: await base64(blob), canvas };
}

async function base64(blob) {
  const reader = new FileReader();
  await new Promise((resolve, reject) => {
    reader.onload = resolve;
    reader.onerror = () => reject(new Error("The picture could not be read."));
    reader.readAsDataURL(blob);
  });
  return reader.result.slice(reader.result.indexOf(",") + 1);
}

function show() {
  const preview = byId("selfie-preview");
  preview.hidden = !current?.canvas;
  byId("selfie-clear").hidden = !current;
  byId("drop-text").hidden = Boolean(current?.canvas);
  byId("drop-text").textContent = current ? "A picture that only the service can open." : "Drop or paste a picture, or choose one.";
  if (current?.canvas) {
    preview.width = current.canvas.width;
    preview.height = current.canvas.height;
    preview.getContext("2d").drawImage(current.canvas, 0, 0);
  }
}

/** Draw the face's box, in px of the picture that was sent. */
export function drawFace(box) {
  if (!current?.canvas || !box) return;
  const [left, top, right, bottom] = box;
  const context = byId("selfie-preview").getContext("2d");
  show();
  context.lineWidth = Math.max(2, current.canvas.width / 160);
  context.strokeStyle = "#4c3fd1";
  context.strokeRect(left, top, right - left, bottom - top);
  byId("selfie-preview").setAttribute("aria-label", "The selfie, with a box around the face that was read");
}

export function connectSelfie() {
  const drop = byId("drop");
  byId("selfie-file").addEventListener("change", (event) => setSelfie(event.target.files[0]));
  byId("selfie-clear").addEventListener("click", clearSelfie);
  for (const name of ["dragenter", "dragover"]) {
    drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation();
    drop.classList.remove("over");
    setSelfie(event.dataTransfer.files[0]);
  });
  document.addEventListener("paste", (event) => {
    const file = [...event.clipboardData.files].find((item) => item.type.startsWith("image/"));
    if (file && !byId("act-person").hidden) setSelfie(file);
  });
  connectCamera();
}

function connectCamera() {
  const dialog = byId("camera");
  const video = byId("camera-video");
  const stop = () => {
    for (const track of video.srcObject?.getTracks() ?? []) track.stop();
    video.srcObject = null;
  };
  byId("camera-open").addEventListener("click", async () => {
    try {
      video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" } });
      dialog.showModal();
    } catch {
      byId("drop-text").hidden = false;
      byId("drop-text").textContent = "The camera can’t be used here. Choose a picture instead.";
      announce(byId("drop-text").textContent);
    }
  });
  byId("camera-take").addEventListener("click", async () => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    canvas.getContext("2d").drawImage(video, 0, 0);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
    dialog.close();
    await setSelfie(blob);
  });
  byId("camera-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", stop);
}
