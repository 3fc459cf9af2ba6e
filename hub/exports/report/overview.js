// The first view: what is known, then figures, when it happened, and tables of agents, channels, approvals and kinds.

const ROWS_MAX = 100;

function overview(state) {
  const { model, records } = state;
  const figures = [
    [count(records.length), records.length === 1 ? "record" : "records"],
    [count(model.events), "events"],
    [count(model.agents.size), "agents"],
    [count(model.channels.size), "channels"],
    [count(model.bad), "failed or broken", model.bad ? "bad" : ""],
    [count(model.odd), "refused, late or abandoned", model.odd ? "odd" : ""],
    [model.first === null ? "–" : took(model.last - model.first), "from first to last"],
  ];
  return h(
    "div",
    { class: "view" },
    state.known,
    h(
      "div",
      { class: "columns" },
      h(
        "section",
        { class: "panel wide", "aria-label": "In figures" },
        h(
          "div",
          { class: "figures" },
          figures.map(([number, label, look]) =>
            h("div", { class: "figure" }, h("b", { class: look || undefined }, number), h("span", {}, label)),
          ),
        ),
        histogram(model, records),
      ),
      agentsTable(state),
      kindsTable(state),
      approvalsTable(state),
      channelsTable(state),
    ),
  );
}

const clock = (at) => new Date(at).toISOString().slice(11, 19);
const day = (at) => new Date(at).toISOString().slice(0, 10);
const moment = (at) => (at === null || at === undefined ? "–" : `${day(at)} ${clock(at)}`);

function histogram(model, records) {
  if (model.first === null || model.last === model.first) return null;
  const bins = Array.from({ length: innerWidth < 860 ? 60 : 150 }, () => ({ bad: 0, odd: 0, others: 0 }));
  for (const record of records) {
    if (record.at === null) continue;
    const bin =
      bins[
        Math.min(bins.length - 1, Math.floor(((record.at - model.first) / (model.last - model.first)) * bins.length))
      ];
    bin[record.look || "others"] += 1;
  }
  const top = Math.max(...bins.map((bin) => bin.bad + bin.odd + bin.others));
  const part = (number, name) => {
    if (!number) return null;
    const element = h("i", { class: name });
    element.style.height = `${Math.max((54 * number) / top, 1.5)}px`;
    return element;
  };
  return h(
    "div",
    { class: "histogram" },
    h(
      "div",
      { class: "legend" },
      legend("wrong", "failed"),
      legend("attention-fill", "refused, late or abandoned"),
      legend("bar", "all others"),
    ),
    h(
      "div",
      { class: "bars", role: "img", "aria-label": `Records over time, at most ${top} at a time` },
      bins.map((bin) =>
        h("div", { class: "bar" }, part(bin.bad, "wrong"), part(bin.odd, "odd"), part(bin.others, "others")),
      ),
    ),
    h(
      "div",
      { class: "axis" },
      h("span", {}, `${moment(model.first)} UTC`),
      h("span", {}, `${moment(model.last)} UTC`),
    ),
  );
}

function legend(colour, label) {
  const swatch = h("i");
  swatch.style.background = `var(--${colour})`;
  return h("span", {}, swatch, label);
}

function numberCell(value, extra) {
  return h("td", { class: `number ${value ? "" : "zero"} ${extra ?? ""}` }, count(value));
}

function tablePanel(title, total, heads, rows, note, wide) {
  return h(
    "section",
    { class: `panel ${wide ? "wide" : ""}` },
    h("header", {}, h("h2", {}, title), h("span", { class: "dim" }, count(total))),
    rows.length
      ? h(
          "div",
          { class: "scroll" },
          h(
            "table",
            {},
            h(
              "thead",
              {},
              h(
                "tr",
                {},
                heads.map(([label, kind]) => h("th", { class: kind, scope: "col" }, label)),
              ),
            ),
            h("tbody", {}, rows),
          ),
        )
      : h("p", { class: "more" }, note),
    total > rows.length && rows.length
      ? h("p", { class: "more" }, `${count(total - rows.length)} more are among the records`)
      : null,
  );
}

function goes(action, ...cells) {
  return h(
    "tr",
    { class: "goes", tabindex: "0", onclick: action, onkeydown: (event) => event.key === "Enter" && action() },
    cells,
  );
}

const COLUMNS = [
  ["Events", "events"],
  ["Messages", "messages"],
  ["Turns", "turns"],
  ["Model calls", "models"],
  ["Tool calls", "tools"],
  ["Tokens", "tokens"],
];

function agentsTable(state) {
  const agents = [...state.model.agents.values()].sort((one, other) => other.events - one.events);
  const columns = COLUMNS.filter(([, name]) => name === "events" || agents.some((agent) => agent[name]));
  const place = (name) => (["turns", "models", "tokens"].includes(name) ? "wide-only" : "");
  const rows = agents.slice(0, ROWS_MAX).map((agent) =>
    goes(
      () => state.goTo("records", { agent: agent.id }),
      h("td", {}, named(state.model.name(agent.id))),
      columns.map(([, name]) => numberCell(agent[name], place(name))),
      h("td", { class: `number ${agent.bad ? "bad" : "zero"}` }, count(agent.bad)),
    ),
  );
  return tablePanel(
    "Agents",
    agents.length,
    [["Agent"], ...columns.map(([label, name]) => [label, `number ${place(name)}`]), ["Failed", "number"]],
    rows,
    "No record names an agent.",
  );
}

function kindsTable(state) {
  const kinds = [...state.model.kinds].sort((one, other) => other[1] - one[1]);
  const rows = kinds
    .slice(0, 12)
    .map(([kind, number]) =>
      goes(
        () => state.goTo("records", { kind }),
        h("td", {}, h("span", { class: "kind" }, kindIcon(kind), h("bdi", { class: "cut" }, line(kind) || "(none)"))),
        numberCell(number),
      ),
    );
  return tablePanel("Kinds", kinds.length, [["Kind"], ["Records", "number"]], rows, "There is no record.");
}

const STATES = {
  approved: ["ok", ""],
  denied: ["refused", "odd"],
  expired: ["late", "odd"],
  waiting: ["open", "open"],
  withdrawn: ["abandoned", ""],
  escalated: ["turn", ""],
  returned: ["turn", ""],
};

function approvalsTable(state) {
  const approvals = [...state.model.approvals.values()];
  if (!approvals.length) return null;
  const rows = approvals
    .slice(-ROWS_MAX)
    .reverse()
    .map((approval) => {
      const [sign, look] = STATES[approval.state] ?? ["question", ""];
      return goes(
        () => state.goTo("records", { text: approval.id }),
        h("td", {}, h("span", { class: `kind ${look}` }, icon(sign), approval.state)),
        h("td", {}, approval.agent ? named(state.model.name(approval.agent)) : "–"),
        h(
          "td",
          { class: "text" },
          h("bdi", {}, line(approval.action ?? "")),
          approval.arguments
            ? h("span", { class: "second" }, ` (${line(pairs(approval.arguments)).slice(0, 200)})`)
            : null,
        ),
        h(
          "td",
          {},
          approval.risk
            ? `${line(approval.risk)} ${typeof approval.score === "number" ? approval.score.toFixed(2) : ""}`
            : "–",
        ),
        h("td", {}, h("bdi", {}, line((approval.by ?? []).map(String).join(", ")) || "–")),
        h("td", { class: "text wide-only" }, h("bdi", {}, line(approval.reason ?? ""))),
        h(
          "td",
          { class: "number" },
          approval.ended && approval.at !== undefined ? took(approval.ended - approval.at) : "–",
        ),
      );
    });
  return tablePanel(
    "Approvals",
    approvals.length,
    [["Verdict"], ["Agent"], ["Wanted"], ["Risk"], ["By"], ["Reason", "wide-only"], ["After", "number"]],
    rows,
    "",
    true,
  );
}

function channelsTable(state) {
  const channels = [...state.model.channels.values()].sort(
    (one, other) => other.bad - one.bad || (other.last ?? 0) - (one.last ?? 0),
  );
  const rows = channels.slice(0, ROWS_MAX).map((channel) =>
    goes(
      () => state.goTo("channels", { channel: channel.id }),
      h("td", { class: "text" }, h("bdi", {}, line(state.model.name(channel.id)))),
      h(
        "td",
        { class: "second wide-only" },
        h(
          "bdi",
          {},
          line(
            [...channel.agents]
              .slice(0, 4)
              .map((id) => state.model.name(id))
              .join(", "),
          ),
        ),
      ),
      numberCell(channel.messages),
      numberCell(channel.tools, "wide-only"),
      h("td", { class: `number ${channel.bad ? "bad" : "zero"}` }, count(channel.bad)),
      h("td", { class: "wide-only" }, channel.state),
      h("td", { class: "number wide-only" }, moment(channel.first)),
      h("td", { class: "number" }, channel.first === null ? "–" : took(channel.last - channel.first)),
    ),
  );
  return tablePanel(
    "Channels",
    channels.length,
    [
      ["Channel"],
      ["Agents", "wide-only"],
      ["Messages", "number"],
      ["Tool calls", "number wide-only"],
      ["Failed", "number"],
      ["State", "wide-only"],
      ["Began, UTC", "number wide-only"],
      ["Took", "number"],
    ],
    rows,
    "No record names a channel.",
    true,
  );
}
