// When what was done: for each channel its turns, messages under way, model and tool calls, side by side in time.

const RUNS_AT_ONCE = 50;
const SPANS_MAX = 200;
const SPAN_LOOKS = {
  turn: ["work", true],
  task: ["work", true],
  envelope: ["talk", true],
  model: ["model", false],
  tool: ["tool", false],
  approval: ["control-kind", false],
};

function timeline(state) {
  const model = state.model;
  const runs = [...model.channels.values()].filter((channel) => channel.spans.length && channel.first !== null);
  const alone = model.spans.filter((span) => !model.channels.has(span.begins.fields.channel_id));
  if (alone.length)
    runs.push({
      id: null,
      spans: alone,
      bad: 0,
      odd: 0,
      first: alone[0].from,
      last: alone.reduce((last, span) => Math.max(last, span.to ?? span.from), -Infinity),
    });
  const list = h("div", { class: "panel" });
  const more = h("p", { class: "more" });
  let shown = 0;
  const showMore = () => {
    for (const run of runs.slice(shown, shown + RUNS_AT_ONCE))
      list.append(runElement(state, run, shown === 0 && run === runs[0]));
    shown = Math.min(runs.length, shown + RUNS_AT_ONCE);
    more.replaceChildren(
      shown < runs.length
        ? button(`Show ${Math.min(RUNS_AT_ONCE, runs.length - shown)} of ${count(runs.length - shown)} more`, showMore)
        : "",
    );
  };
  showMore();
  if (!runs.length)
    return h(
      "div",
      { class: "view" },
      h(
        "div",
        { class: "panel empty" },
        h("b", {}, "Nothing in these records took time."),
        "Turns, calls and messages are shown here, each from its beginning to its end.",
      ),
    );
  const used = new Set(model.spans.map((span) => SPAN_LOOKS[span.domain][0]));
  const legends = [
    ["talk", "message, until it was handled"],
    ["work", "turn or task"],
    ["model", "model call"],
    ["tool", "tool call"],
    ["control-kind", "approval"],
    ["wrong", "failed"],
  ];
  return h(
    "div",
    { class: "view" },
    h(
      "div",
      { class: "legend", id: "span-legend" },
      legends
        .filter(([colour]) => colour === "wrong" || used.has(colour))
        .map(([colour, label]) => legend(colour, label)),
    ),
    list,
    more,
  );
}

function runElement(state, run, isOpen) {
  const begin = run.first,
    length = Math.max(run.last - run.first, 1);
  const place = (at) => (100 * (at - begin)) / length;
  const failed = run.spans.filter((span) => span.ends && span.ends.look === "bad").length;
  const small = h(
    "span",
    { class: "small" },
    run.spans.slice(0, SPANS_MAX).map((span) => piece(span, place, run.last)),
  );
  const chevron = h("span", {});
  const body = h("div", { class: "spans", hidden: !isOpen });
  const open = () => {
    chevron.replaceChildren(icon(body.hidden ? "right" : "down", "text-3"));
    if (!body.hidden && !body.firstChild) body.append(...spanRows(state, run, place, length));
    head.setAttribute("aria-expanded", String(!body.hidden));
  };
  const head = h(
    "button",
    {
      type: "button",
      onclick: () => {
        body.hidden = !body.hidden;
        open();
      },
    },
    chevron,
    h(
      "span",
      { class: "cut" },
      h("b", {}, h("bdi", {}, line(run.id === null ? "In no channel" : state.model.name(run.id)))),
    ),
    small,
    h(
      "span",
      { class: "sum" },
      failed ? h("span", { class: "bad" }, `${failed} failed `) : null,
      `${plural(run.spans.length, "span")}, ${took(run.last - run.first)}`,
    ),
  );
  open();
  return h("div", { class: "run" }, head, body);
}

function piece(span, place, last) {
  const [colour, pale] = SPAN_LOOKS[span.domain];
  const look = span.ends ? span.ends.look : "";
  const element = h("i", {
    class: `piece ${pale ? "pale" : ""} ${look === "bad" ? "failed" : ""} ${span.to === null ? "open" : ""}`,
    of: `var(--${colour})`,
    tint: `var(--${colour}-tint)`,
  });
  const left = Math.min(Math.max(place(span.from), 0), 100);
  element.style.left = `min(${left.toFixed(3)}%, calc(100% - 3px))`;
  element.style.width = `${Math.max(Math.min(place(span.to ?? last), 100) - left, 0).toFixed(3)}%`;
  return element;
}

function spanRows(state, run, place, length) {
  const marks = [0, 1, 2, 3, 4, 5].map((step) => h("span", {}, step ? `+${took((length * step) / 5)}` : "0"));
  const rows = [h("div", { class: "ruler" }, h("span", {}), h("div", { class: "axis" }, marks))];
  for (const span of run.spans.slice(0, SPANS_MAX)) rows.push(spanRow(state, span, place, run.last));
  if (run.spans.length > SPANS_MAX)
    rows.push(h("p", { class: "more" }, `${count(run.spans.length - SPANS_MAX)} later ones are among the records`));
  return rows;
}

function spanRow(state, span, place, last) {
  const fields = span.begins.fields;
  const what = {
    tool: () => state.model.gist(span.begins),
    envelope: () => state.model.content(fields.content),
    model: () => fields.model,
    turn: () => (fields.prompt ? textOf(fields.prompt) : "turn"),
    task: () => String(fields.title ?? fields.name ?? "task"),
    approval: () => `approval of ${fields.action}`,
  }[span.domain]();
  const end = span.ends;
  const words =
    end === null
      ? "open"
      : end.look
        ? `${took(span.to - span.from)} ${end.fields.error_message || end.fields.reason || end.kind.split(".")[1]}`
        : took(span.to - span.from);
  const label = h("span", { class: `took ${end ? end.look : ""}` }, line(words).slice(0, 120));
  const left = Math.max(place(span.from), 0),
    right = Math.max(place(span.to ?? last), 0);
  if (right <= 70) label.style.left = `${right.toFixed(3)}%`;
  else label.style.right = `${(100 - (left >= 30 ? left : Math.min(right, 100))).toFixed(3)}%`;
  if (right > 70 && left < 30) label.classList.add("inside");
  return h(
    "button",
    {
      class: "span",
      type: "button",
      title: line(what),
      onclick: () => state.goTo("records", { record: span.begins.place }),
    },
    h(
      "span",
      { class: "what" },
      kindIcon(span.begins.kind),
      span.agent ? named(state.model.name(span.agent)) : null,
      h("bdi", { class: "cut second" }, line(what)),
    ),
    h("span", { class: "track" }, piece(span, place, last), label),
  );
}
