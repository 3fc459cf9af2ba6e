// All records, filtered: only the rows that are seen are in the page, so that a hundred thousand scroll as ten do.

const CHECKED = {
  holds: "holds: its chain value was computed again",
  wrong: "is not what its chain value stands for, or its contents are not what it committed to",
  redacted: "redacted for this report: cannot be computed",
  unlinked: "cannot be computed: the value before it is not here",
  unchained: "its log has no chain",
  not: "not checked yet",
};

function recordsView(state, wanted) {
  const filter = state.filter;
  const search = h("input", {
    class: "search",
    type: "search",
    placeholder: "Filter: words that a record holds, all of them",
    "aria-label": "Filter the records",
    value: filter.text,
    spellcheck: "false",
  });
  const kinds = choice(
    "Kind",
    [
      ["", "all kinds"],
      ["?bad", "what failed"],
      ["?odd", "refused, late, abandoned"],
      ["?redacted", "redacted here"],
      ...[...state.model.kinds.keys()].sort().map((kind) => [kind, line(kind) || "(none)"]),
    ],
    filter.kind,
  );
  const byName = (ids) =>
    ids.map((id) => [id, line(state.model.name(id)).slice(0, 60)]).sort((one, other) => one[1].localeCompare(other[1]));
  const agents = choice("Agent", [["", "all agents"], ...byName([...state.model.agents.keys()])], filter.agent);
  const channels = choice(
    "Channel",
    [["", "all channels"], ...byName([...state.model.channels.keys()])],
    filter.channel,
  );
  const number = h("span", { class: "count" });
  const heads = h(
    "div",
    { class: "heads", "aria-hidden": "true" },
    h("span", {}, "Time, UTC"),
    h("span", { class: "right" }, "Seq"),
    h("span", {}, "Kind"),
    h("span", {}, "Agent"),
    h("span", { class: "where" }, "Channel"),
    h("span", {}, "What happened"),
    h("span", {}),
  );
  const drawer = h("aside", { class: "drawer", "aria-label": "Record", hidden: true });
  const list = new List(state, drawer, number);
  const apply = () => {
    Object.assign(filter, { text: search.value, kind: kinds.value, agent: agents.value, channel: channels.value });
    list.show(chosen(state));
  };
  search.addEventListener("input", apply);
  for (const each of [kinds, agents, channels]) each.addEventListener("change", apply);
  const clear = button("Clear", () => {
    search.value = kinds.value = agents.value = channels.value = "";
    apply();
    search.focus();
  });
  const save = button("Save as JSON Lines", () => download(state, list.records));
  const view = h(
    "div",
    {},
    h("div", { class: "tools" }, search, kinds, agents, channels, clear, save, number),
    h("div", { class: "split" }, h("div", { class: "list" }, heads, list.element), drawer),
  );
  list.show(chosen(state));
  state.shownView = () => {
    list.draw();
    if (wanted.record !== undefined) list.select(wanted.record);
  };
  state.redraw = () => list.redraw();
  state.escape = () => list.close();
  state.focusSearch = () => search.focus();
  return view;
}

function choice(label, options, value) {
  const element = h(
    "select",
    { "aria-label": label },
    options.map(([key, text]) => h("option", { value: key }, text)),
  );
  element.value = value;
  if (element.value !== value) element.value = "";
  return element;
}

function chosen(state) {
  const { text, kind, agent, channel } = state.filter;
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return state.records.filter(
    (record) =>
      (!kind ||
        record.kind === kind ||
        (kind === "?bad" && record.look === "bad") ||
        (kind === "?odd" && record.look === "odd") ||
        (kind === "?redacted" && record.isRedacted)) &&
      (!agent || record.fields.agent_id === agent) &&
      (!channel || record.fields.channel_id === channel) &&
      (!words.length || holds(state, record, words)),
  );
}

function holds(state, record, words) {
  if (record.words === undefined) {
    const { agent_id: agent, channel_id: channel } = record.fields;
    record.words =
      `${decoder.decode(record.text)} ${record.whole ? decoder.decode(record.whole) : ""} ${agent ? state.model.name(agent) : ""} ${channel ? state.model.name(channel) : ""} ${state.model.gist(record)}`.toLowerCase();
  }
  return words.every((word) => record.words.includes(word));
}

function download(state, records) {
  const parts = records.flatMap((record) => [record.text, "\n"]);
  saved(new Blob(parts, { type: "application/jsonl" }), "records.jsonl");
}

function saved(blob, name) {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

class List {
  constructor(state, drawer, number) {
    Object.assign(this, { state, drawer, number, records: [], selected: null, drawn: new Map() });
    this.height = matchMedia("(max-width: 860px)").matches ? 52 : 24;
    this.space = h("div", {});
    this.element = h(
      "div",
      {
        class: "rows",
        role: "listbox",
        tabindex: "0",
        "aria-label": "Records",
        onscroll: () => this.draw(),
        onkeydown: (event) => this.key(event),
      },
      this.space,
    );
    addEventListener("resize", () => {
      this.height = matchMedia("(max-width: 860px)").matches ? 52 : 24;
      this.show(this.records);
    });
  }

  show(records) {
    this.records = records;
    this.number.textContent =
      records.length === this.state.records.length
        ? plural(records.length, "record")
        : `${count(records.length)} of ${plural(this.state.records.length, "record")}`;
    this.space.style.height = `${records.length * this.height}px`;
    for (const element of this.drawn.values()) element.remove();
    this.drawn.clear();
    this.element.querySelector(".empty")?.remove();
    if (!records.length)
      this.element.append(
        h("div", { class: "empty" }, h("b", {}, "No record matches."), "Take a word away, or clear the filter."),
      );
    this.draw();
  }

  draw() {
    const from = Math.max(0, Math.floor(this.element.scrollTop / this.height) - 8);
    const to = Math.min(
      this.records.length,
      Math.ceil((this.element.scrollTop + this.element.clientHeight) / this.height) + 8,
    );
    for (const [place, element] of this.drawn) {
      if (place < from || place >= to) {
        element.remove();
        this.drawn.delete(place);
      }
    }
    for (let place = from; place < to; place++) {
      if (!this.drawn.has(place)) {
        const element = this.row(this.records[place], place);
        this.drawn.set(place, element);
        this.element.append(element);
      }
    }
  }

  row(record, place) {
    const fields = record.fields,
      model = this.state.model;
    const gist = line(model.gist(record)).slice(0, 500);
    const element = h(
      "div",
      {
        class: `row ${record.look}`,
        role: "option",
        "aria-selected": String(record === this.selected),
        onclick: () => this.open(record),
      },
      h("span", { class: "time" }, record.at === null ? "–" : new Date(record.at).toISOString().slice(11, 23)),
      h("span", { class: "seq" }, typeof fields.seq === "number" ? count(fields.seq) : ""),
      h(
        "span",
        { class: "kind" },
        kindIcon(record.kind),
        h("bdi", { class: "cut", title: line(record.kind) }, line(record.kind) || "(none)"),
      ),
      h("span", { class: "who cut" }, typeof fields.agent_id === "string" ? named(model.name(fields.agent_id)) : ""),
      h(
        "bdi",
        { class: "where cut" },
        typeof fields.channel_id === "string" ? line(model.name(fields.channel_id)) : "",
      ),
      h("bdi", { class: "gist cut", title: gist }, gist),
      h(
        "span",
        { class: "sign" },
        record.checked === "wrong"
          ? icon("failed", "wrong", "not as written")
          : record.sign
            ? icon(record.sign, record.look === "bad" ? "wrong" : "attention", record.look)
            : "",
      ),
    );
    element.style.top = `${place * this.height}px`;
    return element;
  }

  key(event) {
    const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key];
    if (step === undefined || !this.records.length) return;
    event.preventDefault();
    const at = this.selected === null ? -1 : this.records.indexOf(this.selected);
    this.open(this.records[Math.min(Math.max(at + step, 0), this.records.length - 1)]);
  }

  select(place) {
    const record = this.state.records[place];
    if (!record) return;
    if (!this.records.includes(record)) this.show(this.state.records);
    this.element.scrollTop = Math.max(0, this.records.indexOf(record) * this.height - this.element.clientHeight / 3);
    this.draw();
    this.open(record);
  }

  open(record) {
    this.selected = record;
    const at = this.records.indexOf(record),
      top = at * this.height;
    if (top < this.element.scrollTop) this.element.scrollTop = top;
    if (top + this.height > this.element.scrollTop + this.element.clientHeight)
      this.element.scrollTop = top + this.height - this.element.clientHeight;
    this.mark();
    setHash(`record-${record.index ?? record.place}`);
    this.drawer.replaceChildren(...this.details(record));
    this.drawer.hidden = false;
    this.drawer.scrollTop = 0;
    this.draw();
  }

  /** Show what has become known of the records meanwhile. */
  redraw() {
    this.show(this.records);
    if (this.selected !== null) this.drawer.replaceChildren(...this.details(this.selected));
  }

  mark() {
    for (const [place, element] of this.drawn)
      element.setAttribute("aria-selected", String(this.records[place] === this.selected));
  }

  close() {
    this.drawer.hidden = true;
    this.selected = null;
    setHash("records");
    this.mark();
    this.element.focus();
  }

  details(record) {
    const fields = record.fields,
      model = this.state.model;
    const facts = [
      ["Time", fields.at ? line(fields.at) : null],
      ["Record", record.index === null ? null : count(record.index)],
      ["Seq", typeof fields.seq === "number" ? count(fields.seq) : null],
      ["Agent", typeof fields.agent_id === "string" ? named(model.name(fields.agent_id)) : null],
      [
        "Channel",
        typeof fields.channel_id === "string"
          ? h(
              "button",
              {
                class: "link",
                type: "button",
                onclick: () => this.state.goTo("channels", { channel: fields.channel_id }),
              },
              line(model.name(fields.channel_id)),
            )
          : null,
      ],
      ["Took", typeof fields.duration_ms === "number" ? took(fields.duration_ms) : null],
      ["Contents", contentsRow(record)],
      ["Chain", h("span", { class: record.checked === "wrong" ? "bad" : "" }, CHECKED[record.checked])],
      ["Signed", signedRow(this.state, record)],
      ["Redacted", record.isRedacted ? "for this report" : null],
    ];
    return [
      h(
        "header",
        {},
        kindIcon(record.kind),
        h("h2", { class: "cut" }, h("bdi", {}, line(record.kind) || "(none)")),
        button("Close", () => this.close(), { "aria-keyshortcuts": "Escape" }),
      ),
      h("div", { class: `said data ${record.look}`, dir: "auto" }, lines(model.gist(record)).slice(0, 20_000) || "–"),
      h(
        "dl",
        {},
        facts.filter(([, value]) => value !== null).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]),
      ),
      json(record.raw),
    ];
  }
}

function json(fields) {
  const text = JSON.stringify(fields, null, 2);
  const parts = [];
  for (const row of text.length > 400_000 ? [text] : text.split("\n")) {
    const match = /^(\s*)("(?:[^"\\]|\\.)*"): (.*)$/.exec(row);
    if (match) parts.push(match[1], h("span", { class: "key" }, lines(match[2])), ": ", lines(match[3]), "\n");
    else parts.push(lines(row), "\n");
  }
  return h("pre", { class: "data", tabindex: "0", "aria-label": "The record as JSON" }, parts);
}
