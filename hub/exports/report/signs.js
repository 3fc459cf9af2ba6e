// What is drawn: elements made by hand, so that no text of a record is ever taken for markup, and the signs of kinds.

const SVG = "http://www.w3.org/2000/svg";

/** Make an element; texts among the children become text and nothing else. */
function h(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "of") element.style.setProperty("--of", value);
    else if (name === "tint") element.style.setProperty("--tint", value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((each) => each !== null && each !== undefined && each !== false));
  return element;
}

// Characters that hide, reverse or imitate: they are shown by their number. Joiners stay, emoji need them.
const HIDDEN = /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Cs}\u2028\u2029\u00a0\u2000-\u200a\u202f\u205f\u3000]/gu;

function numbered(char) {
  if (char === "\u200d" || char === "\ufe0f") return char;
  const code = char.codePointAt(0);
  return code < 256 ? "\\x" + code.toString(16).padStart(2, "0") : "\\u" + code.toString(16).padStart(4, "0");
}

/** A text on one line. */
function line(text) {
  return String(text).replace(/\r?\n/g, " ⏎ ").replace(/\t/g, " ").replace(HIDDEN, numbered);
}

/** A text that keeps its lines. */
function lines(text) {
  return String(text)
    .replace(/\r\n/g, "\n")
    .split(/([\n\t])/)
    .map((part) => (part === "\n" || part === "\t" ? part : part.replace(HIDDEN, numbered)))
    .join("");
}

const ICONS = {
  envelope: "M2 4h12v8.5H2zM2 4.5l6 4.5 6-4.5",
  channel: "M6 2.5 4.5 13.5M11.5 2.5 10 13.5M2.5 5.5h11M2 10.5h11",
  inbox: "M2 9 4 3.5h8L14 9v4H2zM2 9h3.5l1 1.5h3l1-1.5H14",
  turn: "M13 8A5 5 0 1 1 11 4M11.2 1.6V4.3H8.5",
  task: "M3 3h10v10H3zM5.5 8l2 2 3.5-4",
  model: "M8 1.5 9.6 6.4 14.5 8 9.6 9.6 8 14.5 6.4 9.6 1.5 8 6.4 6.4z",
  tool: "M13.5 4.2a3.4 3.4 0 0 1-4.6 4.1L4.6 12.9a1.3 1.3 0 0 1-1.9-1.9L7.2 6.7A3.4 3.4 0 0 1 11.4 2L9.3 4.2l.4 1.9 1.9.4z",
  approval: "M8 1.8 13 3.6v4c0 3-2 5.4-5 6.6-3-1.2-5-3.6-5-6.6v-4zM5.8 7.8l1.7 1.7 2.8-3.2",
  expectation: "M8 4.2a4.9 4.9 0 1 1 0 9.8 4.9 4.9 0 0 1 0-9.8M8 6.5v2.6M6.3 1.8h3.4M8 1.8v2.4",
  agent: "M3 5.5h10v7.5H3zM8 2.5v3M6 8.5v1.2M10 8.5v1.2",
  hub: "M8 2.2a1.6 1.6 0 1 1 0 3.2 1.6 1.6 0 0 1 0-3.2M3.6 10.4a1.6 1.6 0 1 1 0 3.2 1.6 1.6 0 0 1 0-3.2M12.4 10.4a1.6 1.6 0 1 1 0 3.2 1.6 1.6 0 0 1 0-3.2M8 5.4v3M4.8 11l3.2-2.6L11.2 11",
  listener: "M3 13v-.01M3 8.5A4.5 4.5 0 0 1 7.5 13M3 4a9 9 0 0 1 9 9",
  log: "M2.5 4h11M2.5 8h11M2.5 12h7",
  own: "M8 2.5 13.5 8 8 13.5 2.5 8z",
  ok: "M3 8.5 6.5 12 13 4.5",
  failed: "M4 4l8 8M12 4l-8 8",
  late: "M4.5 2.5h7M4.5 13.5h7M5.5 2.5c0 3 5 3.5 5 5.5s-5 2.5-5 5.5M10.5 2.5c0 3-5 3.5-5 5.5s5 2.5 5 5.5",
  refused: "M8 2.8a5.2 5.2 0 1 1 0 10.4A5.2 5.2 0 0 1 8 2.8M4.4 4.4l7.2 7.2",
  abandoned:
    "M9.5 3A5.2 5.2 0 0 1 13 6.5M13 9.5a5.2 5.2 0 0 1-3 3.2M6.5 13A5.2 5.2 0 0 1 3 9.8M3 6.6A5.2 5.2 0 0 1 6.3 3.1",
  open: "M8 2.8a5.2 5.2 0 1 1 0 10.4A5.2 5.2 0 0 1 8 2.8",
  question: "M8 2.8a5.2 5.2 0 1 1 0 10.4A5.2 5.2 0 0 1 8 2.8M6.5 6.5a1.6 1.6 0 1 1 2 1.6c-.4.2-.5.5-.5 1M8 11v.01",
  right: "M6 4l4 4-4 4",
  down: "M4 6l4 4 4-4",
};

const FAMILIES = {
  __proto__: null, // a kind may be called "constructor"
  envelope: ["envelope", "talk"],
  channel: ["channel", "talk"],
  topic: ["channel", "talk"],
  inbox: ["inbox", "talk"],
  turn: ["turn", "work"],
  task: ["task", "work"],
  model: ["model", "model"],
  tool: ["tool", "tool"],
  approval: ["approval", "control-kind"],
  policy: ["approval", "control-kind"],
  sandbox: ["approval", "control-kind"],
  expectation: ["expectation", "control-kind"],
  agent: ["agent", "plumbing"],
  actor: ["agent", "plumbing"],
  group: ["agent", "plumbing"],
  hub: ["hub", "plumbing"],
  listener: ["listener", "plumbing"],
  mailbox: ["listener", "plumbing"],
  log: ["log", "plumbing"],
  audit: ["log", "plumbing"],
  timer: ["hub", "plumbing"],
};

function icon(name, colour, label) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", "icon");
  if (label) {
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", label);
  } else svg.setAttribute("aria-hidden", "true");
  if (colour) svg.style.color = `var(--${colour})`;
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  if (name === "open") {
    const half = document.createElementNS(SVG, "path");
    half.setAttribute("d", "M8 2.8a5.2 5.2 0 0 1 0 10.4z");
    half.setAttribute("class", "solid");
    svg.append(half);
  }
  return svg;
}

function kindIcon(kind) {
  const [name, colour] = FAMILIES[kind.split(".")[0]] || ["own", "own"];
  return icon(name, colour);
}

/** The colour of an agent: the name picks one of eight. */
function colourOf(name) {
  let hash = 5381;
  for (let at = 0; at < name.length; at++) hash = ((hash * 33) ^ name.charCodeAt(at)) >>> 0;
  return `var(--agent-${hash % 8})`;
}

function named(name) {
  return h("span", { class: "named", of: colourOf(name), title: line(name) }, h("bdi", { class: "cut" }, line(name)));
}

const count = (number) => number.toLocaleString("en-US");
const plural = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;

function took(milliseconds) {
  if (milliseconds < 0.5) return "0 ms";
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 60_000) return `${(milliseconds / 1000).toFixed(2)} s`;
  const minutes = Math.floor(milliseconds / 60_000);
  if (minutes < 60) return `${minutes} min ${Math.floor(milliseconds / 1000) % 60} s`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return `${Math.floor(minutes / 1440)} days ${Math.floor(minutes / 60) % 24} h`;
}

function button(label, action, properties) {
  return h("button", { type: "button", class: "button", onclick: action, ...properties }, label);
}
