
(function () {
  "use strict";
  document.documentElement.classList.add("js");
  document.querySelectorAll(".filters").forEach(function (bar) {
    var rows = Array.prototype.slice.call(document.querySelectorAll("#" + bar.dataset.rows + " tbody tr"));
    var buttons = bar.querySelectorAll("button"), kind = bar.querySelector("select"), text = bar.querySelector("input"), told = bar.querySelector("output");
    var texts = rows.map(function (row) { return row.textContent.toLowerCase(); });
    function apply() {
      var pressed = bar.querySelector("button[aria-pressed=true]"), status = pressed ? pressed.value : "", shown = 0;
      var words = text.value.toLowerCase().split(/\s+/);
      rows.forEach(function (row, number) {
        var fits = (!status || row.dataset.status === status) && (!kind || !kind.value || row.dataset.kind === kind.value) &&
          words.every(function (word) { return texts[number].indexOf(word) >= 0; });
        row.hidden = !fits;
        shown += fits ? 1 : 0;
      });
      told.textContent = shown === rows.length ? "All " + shown : shown + " of " + rows.length;
    }
    buttons.forEach(function (button) {
      button.addEventListener("click", function () {
        buttons.forEach(function (other) { other.setAttribute("aria-pressed", String(other === button)); });
        apply();
      });
    });
    if (kind) { kind.addEventListener("change", apply); }
    text.addEventListener("input", apply);
    apply();
  });
  var opened = [];
  window.addEventListener("beforeprint", function () {
    opened = Array.prototype.slice.call(document.querySelectorAll("details:not([open]):not(.long)"));
    opened.forEach(function (fold) { fold.open = true; });
  });
  window.addEventListener("afterprint", function () {
    opened.forEach(function (fold) { fold.open = false; });
  });
})();
