"use strict";
/* What is embedded, shown when it comes near the screen; and one clock that all videos keep to. */
const urls = new Map();

function urlOf(id) {
  if (!urls.has(id)) {
    const source = document.getElementById(id);
    const bytes = Uint8Array.from(atob(source.textContent.trim()), (c) => c.charCodeAt(0));
    urls.set(id, URL.createObjectURL(new Blob([bytes], { type: source.dataset.type })));
  }
  return urls.get(id);
}

const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;

const clock = {
  videos: new Set(),
  frames: 1,
  fps: 8,
  seconds: 0,
  rate: 1,
  playing: false,
  changed: () => {},
  get length() { return this.frames / this.fps; },
  get frame() { return Math.min(this.frames - 1, Math.floor(this.seconds * this.fps + 1e-6)); },
  show(frame) {
    this.pause();
    this.seconds = (((frame % this.frames) + this.frames) % this.frames + 0.5) / this.fps;
    this.videos.forEach((video) => this.place(video));
    this.changed();
  },
  play() {
    if (this.playing) return;
    this.playing = true;
    this.changed();
    let before = performance.now();
    const tick = (now) => {
      if (!this.playing) return;
      this.seconds = (this.seconds + (Math.max(0, now - before) / 1000) * this.rate) % this.length;
      before = now;
      this.videos.forEach((video) => this.follow(video));
      this.changed();
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  },
  pause() {
    this.playing = false;
    this.videos.forEach((video) => video.pause());
    this.changed();
  },
  toggle() {
    if (this.playing) this.show(this.frame);
    else this.play();
  },
  /* A clip that is shorter than the others begins again. */
  wanted(video) { return this.seconds % video.duration; },
  place(video) {
    if (video.readyState) video.currentTime = Math.min(this.wanted(video), video.duration - 0.001);
  },
  follow(video) {
    if (video.readyState < 2 || video.seeking) return;
    video.playbackRate = this.rate;
    if (video.paused) video.play().catch(() => {});
    const drift = Math.abs(video.currentTime - this.wanted(video));
    if (Math.min(drift, video.duration - drift) > 0.4 / this.fps) video.currentTime = this.wanted(video);
  },
  /* The videos that set the pace are those that were made: `data-leads`. */
  learn(video) {
    if (!("leads" in video.dataset) || !video.duration) return;
    const frames = Number(video.dataset.frames);
    if (frames > this.frames || this.frames === 1) {
      this.frames = frames;
      this.fps = frames / video.duration;
    }
  },
};

/* Browsers keep only some dozens of videos ready at once: those far from the screen let go of theirs. */
const nearby = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (target.tagName === "IMG") {
      if (isIntersecting) target.src = urlOf(target.dataset.media);
    } else if (isIntersecting && !target.src) {
      target.src = urlOf(target.dataset.media);
      clock.videos.add(target);
    } else if (!isIntersecting && target.src) {
      clock.videos.delete(target);
      target.pause();
      target.removeAttribute("src");
      target.load();
    }
  }
}, { rootMargin: "120px" });

function watch(root) {
  root.querySelectorAll("img[data-media]").forEach((image) => nearby.observe(image));
  root.querySelectorAll("video[data-media]").forEach((video) => {
    video.muted = true;
    video.addEventListener("loadeddata", () => {
      if (video.videoWidth < 160) video.classList.add("tiny");
      video.style.aspectRatio = `${video.videoWidth} / ${video.videoHeight}`;
      clock.learn(video);
      clock.place(video);
      clock.changed();
    });
    nearby.observe(video);
  });
}

function forget(root) {
  root.querySelectorAll("[data-media]").forEach((each) => {
    nearby.unobserve(each);
    clock.videos.delete(each);
  });
}

/* The bar below the videos, and the same by keys. */
function playerBar(bar, [back, on]) {
  const range = bar.querySelector("input[type=range]");
  const told = bar.querySelector("output");
  const play = bar.querySelector("[data-do=play]");
  let last = "";
  clock.changed = () => {
    const now = `${clock.frame} ${clock.frames} ${clock.playing}`;
    if (now === last) return;
    last = now;
    range.max = clock.frames - 1;
    range.value = clock.frame;
    const text = `frame ${clock.frame + 1} of ${clock.frames}`;
    range.setAttribute("aria-valuetext", text);
    told.textContent = text;
    play.textContent = clock.playing ? "❚❚" : "▶";
    play.setAttribute("aria-label", clock.playing ? "Pause" : "Play");
  };
  range.addEventListener("input", () => clock.show(Number(range.value)));
  play.addEventListener("click", () => clock.toggle());
  bar.querySelector("[data-do=back]").addEventListener("click", () => clock.show(clock.frame - 1));
  bar.querySelector("[data-do=on]").addEventListener("click", () => clock.show(clock.frame + 1));
  bar.querySelector("select").addEventListener("change", (event) => { clock.rate = Number(event.target.value); });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, select, textarea, button, summary, a, .scroll")) return;
    const acts = {
      " ": () => clock.toggle(),
      [back]: () => clock.show(clock.frame - 1),
      [on]: () => clock.show(clock.frame + 1),
      0: () => clock.show(0),
    };
    if (acts[event.key]) {
      event.preventDefault();
      acts[event.key]();
    }
  });
  clock.changed();
  if (!calm) clock.play();
}
