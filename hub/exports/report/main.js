// The page: reads the records, shows the views, and then checks what it has read.

async function main() {
  const about = JSON.parse(document.getElementById("about").textContent);
  const loading = document.getElementById("loading");
  const records = await readRecords((done) => {
    loading.textContent = `Reading record ${count(done)} of ${count(about.records)}.`;
  });
  const state = {
    about,
    records,
    model: new Model(records, about.names),
    filter: { text: "", kind: "", agent: "", channel: "" },
    view: "overview",
  };
  if (records.length !== about.records)
    throw new Error(
      `the file says that it holds ${about.records} records, and ${records.length} are in it: it was cut or changed`,
    );
  state.known = knownPanel(state);
  state.goTo = (view, wanted = {}) => {
    goTo(state, view, wanted);
  };
  drawTabs(state);
  themeButton();
  addEventListener("keydown", (event) => onKey(state, event));
  loading.remove();
  goToHash(state);
  addEventListener("hashchange", () => goToHash(state));
  document.documentElement.dataset.ready = "true";
  await pause();
  state.found = await check(records, (done) => showChecking(state, done));
  showIntegrity(state, state.found);
  await checkSigned(state, (done) => showClimbing(state, done));
  showSigned(state);
  document.documentElement.dataset.checked = state.found.wrong ? "wrong" : state.found.isAble ? "done" : "unable";
  state.redraw?.();
}

const VIEWS = [
  ["overview", "Overview"],
  ["timeline", "Timeline"],
  ["channels", "Channels"],
  ["records", "Records"],
];

function drawTabs(state) {
  const counts = {
    timeline: state.model.spans.length,
    channels: state.model.channels.size,
    records: state.records.length,
  };
  const tabs = document.getElementById("tabs");
  tabs.hidden = false;
  tabs.append(
    ...VIEWS.map(([name, label]) =>
      h(
        "button",
        { class: "tab", id: `tab-${name}`, type: "button", onclick: () => state.goTo(name) },
        label,
        name in counts ? h("span", { class: "count" }, count(counts[name])) : null,
      ),
    ),
  );
}

function goTo(state, view, wanted) {
  state.view = view;
  state.shownView = state.redraw = state.escape = state.focusSearch = undefined;
  if (view === "records" && ("agent" in wanted || "kind" in wanted || "channel" in wanted || "text" in wanted)) {
    state.filter = { text: "", kind: "", agent: "", channel: "", ...wanted };
  } else if (wanted.record !== undefined) state.filter = { text: "", kind: "", agent: "", channel: "" };
  for (const [name] of VIEWS)
    document.getElementById(`tab-${name}`).setAttribute("aria-current", name === view ? "page" : "false");
  const made = {
    overview: () => overview(state),
    timeline: () => timeline(state),
    channels: () => channelsView(state, wanted.channel),
    records: () => recordsView(state, wanted),
  }[view]();
  document.getElementById("main").replaceChildren(made);
  if (view !== "channels" || !wanted.channel) scrollTo(0, 0);
  state.shownView?.();
  if (wanted.record === undefined) setHash(view);
}

/** Keep in the address what is shown, so that a link to the file can name it. */
function setHash(hash) {
  try {
    history.replaceState(null, "", `#${hash}`);
  } catch {
    /* A page of a mail or a frame has no history: it works all the same. */
  }
}

/** Show what the address names: a view, or a record by its number. */
function goToHash(state) {
  const hash = location.hash.slice(1);
  const number = /^record-(\d+)$/.exec(hash);
  const record = number && state.records.find((each) => (each.index ?? each.place) === Number(number[1]));
  if (record) goTo(state, "records", { record: record.place });
  else goTo(state, VIEWS.some(([name]) => name === hash) ? hash : "overview", {});
}

function onKey(state, event) {
  const inField = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.key === "Escape") return inField ? event.target.blur() : state.escape?.();
  if (event.key === "/" && !inField && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    if (state.view !== "records") state.goTo("records");
    state.focusSearch?.();
  }
}

function themeButton() {
  const element = document.getElementById("theme");
  const isDark = () =>
    (document.documentElement.dataset.theme ??
      (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const name = () => {
    element.textContent = isDark() ? "Light" : "Dark";
  };
  element.hidden = false;
  element.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    name();
  });
  name();
}

main().catch((error) => {
  document.documentElement.dataset.ready = "failed";
  const said = `This report cannot be read: ${error && error.message ? error.message : error}. Open it in a browser of 2023 or newer, or ask for the file again.`;
  document.getElementById("main").replaceChildren(h("p", { class: "note bad" }, line(said)));
});
