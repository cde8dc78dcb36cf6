// Gives the handles of static sliders the names and values that screen readers need (the widgets' own
// markup leaves them without), and says below the figure, also aloud, what the frame shows.
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
  function isShown(image) {
    return image.getClientRects().length > 0;
  }
  function announce(box) {
    // nested boxes belong to their outermost one: one announcement for each slider's figure
    if (box.parentElement.closest(".widget-vbox")) return;
    var images = Array.prototype.filter.call(box.querySelectorAll("img[alt]"), isShown);
    if (!images.length || !box.querySelector('[role="slider"]')) return;
    var text = images.map(function (image) { return image.alt; }).join(" ");
    var region = box.parentElement.querySelector(".selfpose-announcement");
    if (!region) {
      region = document.createElement("div");
      region.className = "selfpose-announcement";
      region.setAttribute("role", "status");
      // there from the start, so that only what changes is read out
      region.textContent = text;
      box.parentElement.appendChild(region);
    }
    if (region.textContent !== text) region.textContent = text;
  }
  function all() {
    document.querySelectorAll(".widget-inline-hbox, .widget-play").forEach(name);
    document.querySelectorAll(".widget-vbox").forEach(announce);
  }
  // Names in tables break after their dots and underscores, and nowhere else.
  function breakNames() {
    document.querySelectorAll(".bd-content td code .pre").forEach(function (word) {
      if (word.childElementCount) return;
      var pieces = word.textContent.match(/[^._]*[._]+|[^._]+/g) || [];
      for (var n = 1; n < pieces.length; n++) pieces[n - 1] = [pieces[n - 1], document.createElement("wbr")];
      word.replaceChildren.apply(word, pieces.flat());
    });
  }
  var waiting = false;
  function soon() {
    // a page being typeset changes thousands of times; once for all of them is enough
    if (waiting) return;
    waiting = true;
    setTimeout(function () { waiting = false; all(); }, 50);
  }
  new MutationObserver(soon).observe(document.documentElement, {
    subtree: true,
    childList: true,
    characterData: true,
    attributes: true,
    attributeFilter: ["aria-valuetext", "style", "class"],
  });
  breakNames();
  all();
})();
