"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const escaped = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/%\{/g, "% {");
  const hidden = new Set();
  let logarithmic = false;

  const colourOf = (one) => colour(one.recommended ? "--accent" : `--s${1 + (one.colour - 1) % 8}`);
  const isDashed = (one) => !one.recommended && ["baseline", "incumbent", "free shape"].includes(one.role);
  const paint = { displayModeBar: false, responsive: false };
  const has = (id) => document.getElementById(id) !== null;

  function axis(title, more) {
    return {
      title: { text: escaped(title), font: { size: 12 }, standoff: 8 }, color: colour("--quiet"), gridcolor: colour("--grid"),
      zeroline: false, linecolor: colour("--line"), automargin: true, tickfont: { size: 11 }, fixedrange: true, ...more,
    };
  }

  function layout(x, y, more) {
    return {
      margin: { l: 8, r: 12, t: 8, b: 8 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false,
      font: { family: getComputedStyle(document.body).fontFamily, color: colour("--ink"), size: 12 }, hovermode: "closest",
      hoverlabel: { bgcolor: colour("--card"), bordercolor: colour("--line"), font: { color: colour("--ink"), size: 12 } },
      xaxis: x, yaxis: y, ...more,
    };
  }

  function line(one, points, format, thick) {
    return {
      x: points.x, y: points.y, mode: "lines", type: "scatter",
      line: { color: colourOf(one), width: one.recommended ? thick : 1.6, dash: isDashed(one) ? "dash" : "solid" },
      opacity: one.recommended ? 1 : 0.85,
      hovertemplate: `%{y:${format}} at update %{x:d}<extra>${escaped(one.name)}</extra>`,
    };
  }

  const shown = () => data.series.filter((one) => !hidden.has(one.colour)).sort((a, b) => b.colour - a.colour);

  function drawShape() {
    const best = data.series.find((one) => one.recommended);
    if (!best || !has("shape")) return;
    const trace = { ...line(best, best.lr, ".3g", 3.2), fill: "tozeroy", fillcolor: colour("--accent-wash") };
    Plotly.react("shape", [trace], layout(
      axis("update", { range: [0, data.totalUpdates - 1], showgrid: false, nticks: 5 }),
      axis("learning rate", { rangemode: "tozero", nticks: 5 })), paint);
  }

  function drawCurves() {
    if (!has("lr-chart")) return;
    const updates = { range: [0, data.totalUpdates - 1], nticks: 6 };
    Plotly.react("lr-chart", shown().map((one) => line(one, one.lr, ".3g", 4)), layout(
      axis("update", updates), axis("learning rate", logarithmic ? { type: "log", exponentformat: "power", dtick: 1 } : { rangemode: "tozero" })), paint);
    const known = shown().filter((one) => one.learning.x.length > 0);
    Plotly.react("learning-chart", known.map((one) => line(one, one.learning, ".4g", 3.2)), layout(
      axis("update", updates), axis(data.metric, { range: learningRange(known) })), paint);
  }

  // The steep start would flatten everything that matters: show the range of the last 60 % of training.
  function learningRange(series) {
    const late = series.flatMap((one) => one.learning.y.filter((_, i) => one.learning.x[i] > 0.4 * data.totalUpdates));
    if (late.length === 0) return undefined;
    const low = Math.min(...late), high = Math.max(...late), room = 0.06 * (high - low || Math.abs(low) || 1);
    return [low - room, high + room];
  }

  // The chosen answer has the accent, the other confirmed ones a colour each, the rest is grey.
  function drawQuestions() {
    for (const one of data.questions) {
      const id = `question-${one.key}`;
      if (!has(id)) continue;
      const scored = one.runs.filter((run) => run.score !== null);
      const kept = one.confirmed.flatMap((sure) => [sure.value, sure.low, sure.high]).filter((value) => value !== null);
      const range = goodRange(scored, kept), edge = range && range[data.minimize ? 1 : 0];
      const isLost = (run) => run.score === null || run.score < range[0] || run.score > range[1];
      const traces = [];
      const names = one.confirmed.map((sure) => sure.answer);
      const rest = one.runs.filter((run) => !names.includes(run.answer));
      const groups = [...one.confirmed.map((sure, i) => ({ sure, ink: colour(i === 0 ? "--accent" : `--s${1 + (i - 1) % 8}`), runs: one.runs.filter((run) => run.answer === sure.answer) })),
        { sure: null, ink: colour("--dot"), runs: rest }];
      for (const { sure, ink, runs } of groups.reverse()) {
        for (const lost of [false, true]) {
          const own = range ? runs.filter((run) => isLost(run) === lost) : [];
          if (own.length === 0) continue;
          traces.push({
            x: own.map((run) => run.baseLr), y: own.map((run) => (lost ? edge : run.score)), mode: "markers", type: "scatter", showlegend: false,
            marker: { color: ink, size: lost ? 8 : 6, opacity: lost ? 0.9 : 0.55, symbol: lost ? "x-thin-open" : "circle" }, cliponaxis: false,
            text: own.map((run) => `${run.score === null ? "diverged" : run.score.toPrecision(4)}, ${escaped(run.answer)}<br>${escaped(run.schedule)}`), hovertemplate: "%{text}<extra></extra>",
          });
        }
        if (sure && sure.value !== null) traces.push({
          x: [sure.baseLr], y: [sure.value], mode: "markers", type: "scatter", name: escaped(sure.answer),
          marker: { color: ink, size: 11, symbol: "diamond", line: { color: colour("--card"), width: 1 } },
          error_y: { type: "data", symmetric: false, array: [(sure.high ?? sure.value) - sure.value], arrayminus: [sure.value - (sure.low ?? sure.value)], color: ink, thickness: 2, width: 4 },
          hovertemplate: `${escaped(sure.answer)}, confirmed: %{y:.4g} at base LR %{x:.3g}<extra></extra>`,
        });
      }
      Plotly.react(id, traces, layout(
        axis("base LR", { type: "log", exponentformat: "power", dtick: 1 }), axis(data.metric, { range, nticks: 6 }),
        { showlegend: true, legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", traceorder: "reversed", font: { color: colour("--ink"), size: 11 } } }), paint);
    }
  }

  function drawSearch() {
    if (!has("search-chart")) return;
    const scored = data.searched.filter((one) => one.score !== null);
    const runs = {
      x: scored.map((one) => one.n), y: scored.map((one) => one.score), mode: "markers", type: "scatter",
      marker: { color: colour("--dot"), size: 6, opacity: 0.75 }, text: scored.map((one) => escaped(one.schedule)),
      hovertemplate: "%{y:.4g}, run %{x}<br>%{text}<extra></extra>",
    };
    const best = {
      x: data.searched.map((one) => one.n), y: data.searched.map((one) => one.best), mode: "lines", type: "scatter",
      line: { color: colour("--accent"), width: 2.5, shape: "hv" }, hovertemplate: "best so far %{y:.4g}<extra></extra>",
    };
    Plotly.react("search-chart", [runs, best], layout(
      axis("searched run", { nticks: 6, range: [0, data.searched.length + 1] }), axis(data.metric, { range: goodRange(scored) }), { shapes: band() }), paint);
  }

  function band() {
    const one = data.confirmed;
    if (!one || one.low === null) return [];
    return [{ type: "rect", xref: "paper", x0: 0, x1: 1, y0: one.low, y1: one.high, fillcolor: colour("--accent"), opacity: 0.14, line: { width: 0 }, layer: "below" }];
  }

  // Bad runs may be far away; the axis ends at median + 2 (median - best).
  function goodRange(scored, more = []) {
    const sign = data.minimize ? 1 : -1;
    const bad = scored.map((one) => sign * one.score).sort((a, b) => a - b);
    if (bad.length === 0) return undefined;
    const middle = bad[Math.floor(bad.length / 2)], cut = middle + 2 * (middle - bad[0]);
    const kept = bad.filter((one) => one <= cut).map((one) => sign * one);
    if (data.confirmed && data.confirmed.low !== null) kept.push(data.confirmed.low, data.confirmed.high);
    kept.push(...more);
    const low = Math.min(...kept), high = Math.max(...kept), room = 0.06 * (high - low || 1);
    return [low - room, high + room];
  }

  function drawShapes() {
    if (!has("shape-chart") || !data.shape) return;
    const [named, free] = data.shape.map((id) => data.series.find((one) => one.id === id));
    const traces = [
      { ...line(named, named.lr, ".3g", 3), line: { color: colour("--accent"), width: 3 }, opacity: 1, name: escaped(named.name) },
      { ...line(free, free.lr, ".3g", 3), line: { color: colour("--s1"), width: 3, dash: "dot" }, opacity: 1, name: escaped(free.name) },
    ];
    Plotly.react("shape-chart", traces, layout(
      axis("update", { range: [0, data.totalUpdates - 1], nticks: 6 }), axis("learning rate", { rangemode: "tozero" }),
      { showlegend: true, legend: { orientation: "h", x: 0, y: 1.14, font: { color: colour("--ink") } } }), paint);
  }

  function drawAgreement() {
    if (!has("agreement-chart")) return;
    const points = data.model.agreement;
    const trace = {
      x: points.x, y: points.y, mode: "lines+markers", type: "scatter", line: { color: colour("--accent"), width: 2.5 }, marker: { size: 5 },
      hovertemplate: "%{y:.2f} after %{x:d} runs<extra></extra>",
    };
    Plotly.react("agreement-chart", [trace], layout(
      axis("runs", { nticks: 6 }), axis("rank agreement", { range: [Math.min(-0.05, ...points.y), 1.05], nticks: 6 })), paint);
  }

  function drawPredictions() {
    drawAgainst("prediction-chart", data.predictions, 8);
    const leftOut = (data.model?.points ?? []).map((one) => ({ name: "a run", predicted: one.predicted, measured: { value: one.measured, low: null, high: null } }));
    drawAgainst("left-out-chart", leftOut, 5);
  }

  function drawAgainst(id, pairs, size) {
    if (!has(id)) return;
    const known = pairs.filter((one) => one.predicted.value !== null && one.measured.value !== null);
    if (known.length === 0) return;
    const side = (key) => known.map((one) => one[key].value);
    const error = (key) => ({
      type: "data", symmetric: false, thickness: 1, width: 0, color: colour("--error"),
      array: known.map((one) => (one[key].high ?? one[key].value) - one[key].value),
      arrayminus: known.map((one) => one[key].value - (one[key].low ?? one[key].value)),
    });
    const steady = known.filter((one) => !one.erratic);
    const all = steady.flatMap((one) => [one.predicted.value, one.measured.value]), low = Math.min(...all), high = Math.max(...all);
    const range = (key) => {
      const ends = steady.flatMap((one) => [one[key].low ?? one[key].value, one[key].high ?? one[key].value, one[key].value]);
      const room = 0.04 * (Math.max(...ends) - Math.min(...ends) || 1);
      return [Math.min(...ends) - room, Math.max(...ends) + room];
    };
    const diagonal = { x: [low, high], y: [low, high], mode: "lines", line: { color: colour("--quiet"), width: 1, dash: "dot" }, hoverinfo: "skip" };
    const points = {
      x: side("predicted"), y: side("measured"), error_x: error("predicted"), error_y: error("measured"), mode: "markers", type: "scatter",
      marker: { color: colour("--accent"), size }, text: known.map((one) => escaped(one.name)),
      hovertemplate: "%{text}<br>predicted %{x:.4g}, measured %{y:.4g}<extra></extra>",
    };
    Plotly.react(id, [diagonal, points], layout(
      axis(`predicted ${data.metric}`, { nticks: 5, range: range("predicted") }), axis(`measured ${data.metric}`, { nticks: 5, range: range("measured") })), paint);
  }

  // Two lanes a kind, so that runs with and without a warm-up do not hide each other.
  function drawDiagnosis() {
    if (!has("diagnosis-chart")) return;
    const { kinds, runs } = data.diagnosis;
    const lane = (warm) => {
      const own = runs.filter((one) => one.warm === warm);
      return {
        x: own.map((one) => one.baseLr), y: own.map((one) => kinds.indexOf(one.kind) + (warm ? -0.14 : 0.14)), mode: "markers", type: "scatter",
        marker: { color: colour(warm ? "--accent" : "--s1"), size: 7, opacity: 0.6 }, text: own.map((one) => escaped(one.text)),
        hovertemplate: "%{text}<extra></extra>",
      };
    };
    Plotly.react("diagnosis-chart", [lane(true), lane(false)], layout(
      axis("base LR", { type: "log", exponentformat: "power" }),
      axis("", { tickvals: kinds.map((_, i) => i), ticktext: kinds.map(escaped), range: [kinds.length - 0.5, -0.5] })), paint);
  }

  function buildLegend() {
    const box = document.getElementById("legend");
    if (!box) return;
    for (const one of data.series) {
      const button = document.createElement("button");
      const swatch = document.createElement("i");
      button.type = "button";
      button.className = `${one.recommended ? "recommended" : ""} ${isDashed(one) ? "dashed" : ""}`;
      button.setAttribute("aria-pressed", "true");
      button.append(swatch, one.name);
      button.addEventListener("click", () => {
        const off = !hidden.delete(one.colour);
        if (off) hidden.add(one.colour);
        button.setAttribute("aria-pressed", String(!off));
        drawCurves();
      });
      box.append(button);
    }
  }

  function colourLegend() {
    document.querySelectorAll("#legend i").forEach((swatch, i) => { swatch.style.borderTopColor = colourOf(data.series[i]); });
  }

  function makeSortable(table) {
    table.querySelectorAll("th[data-sort]").forEach((head, column) => {
      let up = false;
      head.addEventListener("click", () => {
        up = !up;
        const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
        const compare = head.dataset.sort === "text" ? (a, b) => value(a).localeCompare(value(b)) : (a, b) => number(value(a)) - number(value(b));
        const body = table.tBodies[0];
        body.append(...[...body.rows].sort((a, b) => (up ? 1 : -1) * compare(a, b)));
      });
    });
  }

  const number = (text) => (text === "" ? Infinity : parseFloat(text));

  function draw() {
    colourLegend();
    drawShape();
    drawCurves();
    drawSearch();
    drawShapes();
    drawPredictions();
    drawAgreement();
    drawDiagnosis();
    drawQuestions();
  }

  buildLegend();
  document.querySelectorAll("table.sortable").forEach(makeSortable);
  document.getElementById("log")?.addEventListener("click", (event) => {
    logarithmic = !logarithmic;
    event.currentTarget.setAttribute("aria-pressed", String(logarithmic));
    drawCurves();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
  const fit = new ResizeObserver((entries) => entries.forEach(({ target }) => Plotly.Plots.resize(target)));
  document.querySelectorAll(".js-plotly-plot").forEach((chart) => fit.observe(chart));
})();
