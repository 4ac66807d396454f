
/* Answers are kept in this browser under the study's id, and saved as a file at the end. */
const study = document.body.dataset.study;
const ballots = JSON.parse(document.getElementById("ballots").textContent);
const place = `dv-study-${study}`;
const at = (id) => document.getElementById(id);
const fields = [...document.querySelectorAll(".question")];
let shown = 0;
let kept = load();

function load() {
  let stored = null;
  try {
    stored = JSON.parse(localStorage.getItem(place));
  } catch {
    at("unkept").hidden = false;
  }
  const rater = Array.from(crypto.getRandomValues(new Uint8Array(8)), (b) => b.toString(16).padStart(2, "0")).join("");
  return stored && stored.answers ? stored : { rater, name: "", answers: {} };
}

function keep() {
  try {
    localStorage.setItem(place, JSON.stringify(kept));
  } catch {
    at("unkept").hidden = false;
  }
}

const answersOf = (ballot) => kept.answers[ballot.id] ?? {};
const isDone = (ballot) => ballot.questions.every((question) => question in answersOf(ballot));
const done = () => ballots.filter(isDone).length;

function only(id) {
  for (const section of ["start", "pair", "end"]) at(section).hidden = section !== id;
}

function figure({ media, frames }, label, leads) {
  const element = document.createElement(frames ? "video" : "img");
  element.dataset.media = media;
  if (frames) {
    Object.assign(element, { muted: true, loop: true, playsInline: true });
    element.dataset.frames = frames;
    if (leads) element.dataset.leads = "";
    element.setAttribute("aria-label", label);
  } else {
    element.alt = label;
  }
  return element;
}

function show(number) {
  shown = number;
  const ballot = ballots[number];
  forget(at("pair"));
  Object.assign(clock, { frames: 1, seconds: 0 });
  at("pair-title").textContent = `Pair ${number + 1} of ${ballots.length}`;
  document.querySelector("progress").value = done();
  document.querySelector(".prompt q").textContent = ballot.prompt;
  at("star").hidden = !ballot.prompt.includes("*") || !ballot.pictures.length;
  for (const kind of ["pictures", "clips"]) {
    at(kind).hidden = !ballot[kind].length;
    at(kind).querySelector(".pictures").replaceChildren(
      ...ballot[kind].map((each, index) => figure(each, `${kind === "clips" ? "The motion" : "The subject"}, ${index + 1}`)));
  }
  for (const side of ["left", "right"]) at(side).replaceChildren(figure(ballot[side], `The ${side} video`, true));
  for (const field of fields) {
    const question = field.dataset.question;
    field.hidden = !ballot.questions.includes(question);
    field.querySelectorAll("input").forEach((input) => { input.checked = answersOf(ballot)[question] === input.value; });
  }
  at("back").disabled = number === 0;
  at("next").textContent = number + 1 < ballots.length ? "Next pair" : "To the end";
  only("pair");
  watch(at("pair"));
  at("pair-title").focus();
  scrollTo(0, 0);
}

function finish() {
  forget(at("pair"));
  const open = ballots.length - done();
  at("open").textContent = open
    ? `${open} of ${ballots.length} pairs have open questions. You may save what there is, or answer them first.`
    : `All ${ballots.length} pairs are answered.`;
  only("end");
  at("end-title").focus();
}

function answer(question, side) {
  const ballot = ballots[shown];
  kept.answers[ballot.id] = { ...answersOf(ballot), [question]: side };
  keep();
  document.querySelector("progress").value = done();
}

/* By arrow: the question that has the focus, else the first open one; then the next one has it. */
function answerByKey(side) {
  const asked = fields.filter((field) => !field.hidden);
  const open = asked.filter((field) => !field.querySelector(":checked"));
  const field = document.activeElement.closest(".question") ?? open[0];
  if (!field) return;
  const input = field.querySelector(`[value=${side}]`);
  input.checked = true;
  answer(field.dataset.question, side);
  const next = asked.find((each) => !each.querySelector(":checked"));
  (next ? next.querySelector("input") : at("next")).focus();
}

function save() {
  const data = { dv_study_answers: 1, study, ...kept, saved_at: new Date().toISOString() };
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([`${JSON.stringify(data, null, 2)}\n`], { type: "application/json" }));
  const name = kept.name.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "");
  link.download = `answers-${name || kept.rater}.json`;
  link.click();
}

at("name").value = kept.name;
at("name").addEventListener("input", (event) => { kept.name = event.target.value; keep(); });
at("begin").textContent = done() ? "Go on" : "Begin";
at("begin").addEventListener("click", () => show(Math.max(0, ballots.findIndex((ballot) => !isDone(ballot)))));
at("next").addEventListener("click", () => (shown + 1 < ballots.length ? show(shown + 1) : finish()));
at("back").addEventListener("click", () => show(shown - 1));
at("again").addEventListener("click", () => show(Math.max(0, ballots.findIndex((ballot) => !isDone(ballot)))));
at("save").addEventListener("click", save);
at("questions").addEventListener("change", (event) => answer(event.target.name, event.target.value));
document.addEventListener("keydown", (event) => {
  if (at("pair").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest(".player")) return;
  if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
    event.preventDefault();
    answerByKey(event.key === "ArrowLeft" ? "left" : "right");
  } else if (event.key === "Enter" && !event.target.closest("button")) {
    at("next").click();
  }
});
playerBar(document.querySelector(".player"), [",", "."]);
