// Gives the handles of static sliders the names and values that screen readers need: the widgets'
// own markup leaves them without.
(function () {
  "use strict";
  function name(box) {
    var label = box.querySelector(".widget-label");
    var readout = box.querySelector(".widget-readout");
    box.querySelectorAll('[role="slider"]').forEach(function (handle) {
      if (label && label.textContent) {
        setOnce(handle, "aria-label", label.textContent);
      }
      if (readout && readout.textContent) {
        setOnce(handle, "aria-valuetext", readout.textContent);
      }
    });
    if (label && readout) {
      setOnce(readout, "aria-label", label.textContent + ", value");
      setOnce(readout, "role", "textbox");
    }
    box.querySelectorAll("button:not([aria-label])").forEach(function (button) {
      setOnce(button, "aria-label", button.title || (label ? label.textContent : "button"));
    });
  }
  function setOnce(element, attribute, value) {
    // writing an equal value would wake the observer again, for ever
    if (element.getAttribute(attribute) !== value) {
      element.setAttribute(attribute, value);
    }
  }
  function all() {
    document.querySelectorAll(".widget-inline-hbox, .widget-play").forEach(name);
  }
  new MutationObserver(all).observe(document.documentElement, {
    subtree: true,
    childList: true,
    characterData: true,
    attributes: true,
    attributeFilter: ["aria-valuetext"],
  });
  all();
})();
