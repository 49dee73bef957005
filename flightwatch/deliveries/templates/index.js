"use strict";
(() => {
  const rows = [...document.querySelectorAll("#rows tr[data-day]")];
  const byId = (id) => document.getElementById(id);
  const fold = (text) => text.toLowerCase().normalize("NFKD").replace(/\s+/g, " ");
  const texts = rows.map((row) => fold(row.textContent + " " + row.dataset.aircraft));

  function filter() {
    const words = fold(byId("text").value).split(" ").filter(Boolean);
    const aircraft = fold(byId("aircraft").value).trim();
    const since = byId("since").value, until = byId("until").value;
    let shown = 0;
    rows.forEach((row, i) => {
      const of = row.dataset;
      const fits = words.every((word) => texts[i].includes(word))
        && (!byId("stage").value || of.stage === byId("stage").value)
        && (!byId("severity").value || of.severity === byId("severity").value)
        && (!byId("rule").value || of.rule.split(" ").includes(byId("rule").value))
        && (!aircraft || fold(of.aircraft).includes(aircraft))
        && (!since || of.day >= since) && (!until || of.day <= until);
      row.hidden = !fits;
      shown += fits;
    });
    byId("count").textContent = `${shown} of ${rows.length} shown`;
  }

  byId("filters").hidden = false;
  byId("filters").addEventListener("input", filter);
  filter();
})();
