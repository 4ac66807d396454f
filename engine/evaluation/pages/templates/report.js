
/* Filters. A choice's value begins with "=", so that an empty name differs from "all". */
const filters = document.querySelector(".filters");
const comparisons = [...document.querySelectorAll(".comparison")];

function applyFilters() {
  const chosen = new FormData(filters);
  const methods = new Set(chosen.getAll("method"));
  const pickable = filters.querySelector("[name=method]") !== null;
  let shown = 0;
  for (const comparison of comparisons) {
    const fits = ["subject", "motion", "prompt", "seed"].every(
      (field) => !chosen.get(field) || chosen.get(field) === `=${comparison.dataset[field]}`);
    let left = 0;
    for (const shot of comparison.querySelectorAll(".shot")) {
      shot.hidden = pickable && !methods.has(shot.dataset.method);
      left += shot.hidden ? 0 : 1;
    }
    comparison.hidden = !fits || left === 0;
    shown += comparison.hidden ? 0 : 1;
  }
  filters.querySelector(".count").textContent = `${shown} of ${comparisons.length} comparisons shown`;
  document.querySelector(".nothing").hidden = shown > 0;
  document.body.dataset.view = chosen.get("view");
}

/* Contact sheets are drawn from the videos, one after another, when they come near the screen. */
const MOST_FRAMES = 8;
let drawing = Promise.resolve();

function happened(target, name) {
  return new Promise((resolve, reject) => {
    target.addEventListener(name, resolve, { once: true });
    target.addEventListener("error", reject, { once: true });
  });
}

/* Seek, and wait until the frame there, which lasts so many seconds, is presented: at `seeked` a canvas may still get
   the one before. */
async function seek(video, seconds, lasts) {
  const presented = new Promise((resolve) => {
    if (!video.requestVideoFrameCallback) return resolve();
    const look = (_now, { mediaTime }) => {
      if (Math.abs(mediaTime - seconds) < lasts) resolve();
      else video.requestVideoFrameCallback(look);
    };
    video.requestVideoFrameCallback(look);
    setTimeout(resolve, 2000);
  });
  const sought = happened(video, "seeked");
  video.currentTime = seconds;
  await sought;
  await presented;
}

async function drawSheet(shot) {
  const source = shot.querySelector("video");
  const video = document.createElement("video");
  video.muted = true;
  video.src = urlOf(source.dataset.media);
  await happened(video, "loadeddata");
  const frames = Number(source.dataset.frames);
  const count = Math.min(frames, MOST_FRAMES);
  const gap = Math.max(1, Math.round(video.videoWidth / 32));
  const canvas = document.createElement("canvas");
  canvas.width = count * (video.videoWidth + gap) - gap;
  canvas.height = video.videoHeight;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${count} of ${frames} frames of ${shot.dataset.method}`);
  shot.querySelector(".frames").append(canvas);
  for (let at = 0; at < count; at += 1) {
    const frame = Math.round((at * (frames - 1)) / Math.max(1, count - 1));
    const lasts = video.duration / frames;
    await seek(video, (frame + 0.5) * lasts, lasts);
    canvas.getContext("2d").drawImage(video, at * (video.videoWidth + gap), 0);
  }
  video.removeAttribute("src");
  video.load();
}

const sheets = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting || document.body.dataset.view !== "frames") continue;
    sheets.unobserve(target);
    drawing = drawing.then(() => drawSheet(target.closest(".shot"))).catch(() => target.append("can't be shown"));
  }
}, { rootMargin: "120px" });

/* A link to an adapter opens it. */
function openTarget() {
  const target = location.hash.length > 1 ? document.getElementById(decodeURIComponent(location.hash.slice(1))) : null;
  if (target && target.tagName === "DETAILS") target.open = true;
}

document.querySelectorAll(".frames").forEach((place) => sheets.observe(place));
addEventListener("hashchange", openTarget);
if (filters) {  // A page may be without videos.
  filters.addEventListener("change", applyFilters);
  filters.addEventListener("submit", (event) => event.preventDefault());
  watch(document);
  playerBar(document.querySelector(".player"), ["ArrowLeft", "ArrowRight"]);
  applyFilters();
}
openTarget();
