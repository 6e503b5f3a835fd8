// What is live on a page is fetched anew every few seconds; Flower's table of tasks links to tenants.
(function () {
  "use strict";
  var EVERY_MS = 5000;

  function refresh() {
    var live = document.querySelector("[data-live]");
    if (!live || document.hidden) return;
    fetch(window.location.href, {credentials: "same-origin"})
      .then(function (answer) { return answer.ok ? answer.text() : Promise.reject(answer.status); })
      .then(function (text) {
        var fresh = new DOMParser().parseFromString(text, "text/html").querySelector("[data-live]");
        if (fresh) live.replaceWith(fresh);
      })
      .catch(function () { live.classList.add("opacity-50"); });
  }
  window.setInterval(refresh, EVERY_MS);

  function link(cell, row) {
    var anchor = document.createElement("a");
    anchor.href = document.getElementById("url_prefix").value.replace(/\/*$/, "") + "/tenants/" + row.organization;
    anchor.textContent = row.organization_name || row.organization;
    anchor.title = row.organization;
    cell.replaceChildren(anchor);
  }

  document.addEventListener("DOMContentLoaded", function () {
    var table = window.jQuery && window.jQuery("#tasks-table");
    if (!table || !table.length) return;
    var column = Array.prototype.findIndex.call(table.find("thead th"), function (head) {
      return head.dataset.column === "organization";
    });
    table.on("draw.dt", function () {
      table.DataTable().rows({page: "current"}).every(function () {
        var row = this.data(), node = this.node();
        if (column >= 0 && row.organization) link(node.children[column], row);
      });
    });
  });
}());
