// Runs in the head, before the theme's scripts and before the widgets'.
(function () {
  "use strict";
  // The theme's icon script would replace every <i>, also those that the widgets' code still holds.
  window.FontAwesomeConfig = { observeMutations: false };

  // RequireJS asks for modules relative to the page unless told where they lie.
  var root = document.documentElement.dataset.content_root || "";
  window.require = { baseUrl: root + "_static/vendor/" };

  // The widgets' manager typesets its labels through version 2 of MathJax; the pages load version 3.
  // The page's own settings and then MathJax replace window.MathJax, so each gets the shim anew.
  var hub = {
    Config: function () {},
    Configured: function () {},
    Queue: function (job) {
      var element = Array.isArray(job) ? job[job.length - 1] : null;
      if (element instanceof Element && current.typesetPromise) {
        current.typesetPromise([element]);
      }
    },
  };
  function withHub(value) {
    if (value && !value.Hub) {
      // not enumerable: MathJax must not take it for one of its settings
      Object.defineProperty(value, "Hub", { value: hub });
    }
    return value;
  }
  var current = withHub(window.MathJax || {});
  Object.defineProperty(window, "MathJax", {
    configurable: true,
    get: function () { return current; },
    set: function (value) { current = withHub(value); },
  });
})();
