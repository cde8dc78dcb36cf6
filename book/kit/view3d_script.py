"""The script and the style that each turning view of :mod:`book.kit.view3d` carries with it.

They stand in the output itself, so that a view also turns in JupyterLab and in a page opened from a
folder. The script touches nothing but views that no script has taken up yet, leaves no global name,
loads nothing, and moves nothing by itself (so there is no motion to reduce).
"""

SCRIPT = r"""
(() => {
  "use strict";
  const STEP = 5, DEGREE = Math.PI / 180, DISTANCE = 6000;
  const clamp = (x, low, high) => Math.min(high, Math.max(low, x));

  function start(root) {
    root.dataset.live = "";
    const find = (name) => root.querySelector(".pv-" + name);
    const data = JSON.parse(find("data").textContent);
    const stage = find("stage"), slider = find("slider");
    const pictures = [...stage.querySelectorAll("svg")];
    let azimuth, elevation, zoom, frame = data.start, held = null;

    // selfpose.camera's rotations, then a distant perspective, as book.kit.view3d in Python
    function project(x, y, z) {
      const a = azimuth * DEGREE, e = elevation * DEGREE;
      const u = x * Math.cos(a) + z * Math.sin(a), w = z * Math.cos(a) - x * Math.sin(a);
      const v = y * Math.cos(e) - w * Math.sin(e), depth = y * Math.sin(e) + w * Math.cos(e);
      const k = zoom * DISTANCE / (DISTANCE + depth);
      return [u * k, v * k, depth];
    }
    const text = (p) => Math.round(p[0]) + " " + Math.round(p[1]);

    function lines(poses) {
      const found = [];
      poses.forEach((frames, n) => {
        const flat = frames[Math.min(frame, frames.length - 1)], joints = [];
        for (let i = 0; i < flat.length; i += 3) {
          joints.push(project(flat[i], flat[i + 1], flat[i + 2]));
        }
        data.bones.forEach(([i, j], b) => {
          found.push([(joints[i][2] + joints[j][2]) / 2, joints[i], joints[j], data.sides[b], n]);
        });
      });
      found.sort((p, q) => q[0] - p[0]);
      return found.map(([depth, p, q, side, n]) => {
        const near = clamp((1 - depth / 1000) / 2, 0, 1);
        return `<path class="pv-${side} pv-${n}" d="M${text(p)}L${text(q)}" stroke-width="` +
          `${Math.round(22 + 30 * near)}" opacity="${(0.6 + 0.4 * near).toFixed(2)}"/>`;
      }).join("");
    }
    function ring() {
      const points = [];
      for (let i = 0; i <= 24; i++) {
        const t = i * 15 * DEGREE;
        points.push(text(project(500 * Math.sin(t), data.ring, -500 * Math.cos(t))));
      }
      return "M" + points.join("L") + "L" + text(project(0, data.ring, -700));
    }
    function draw() {
      pictures.forEach((svg, k) => {
        svg.querySelector(".pv-ring").setAttribute("d", ring());
        svg.querySelector("g").innerHTML = lines(data.panels[k]);
      });
    }
    function say() {
      const shown = data.texts ? " " + data.texts[frame] : "";
      find("state").textContent =
        `Azimuth ${Math.round(azimuth)}°, elevation ${Math.round(elevation)}°.` + shown;
    }
    function reset() {
      [azimuth, elevation] = data.view;
      zoom = 1;
    }
    function turn(across, down) {
      azimuth = ((azimuth + across + 540) % 360) - 180;
      elevation = clamp(elevation + down, -90, 90);
    }

    const keys = {
      ArrowLeft: () => turn(STEP, 0),
      ArrowRight: () => turn(-STEP, 0),
      ArrowUp: () => turn(0, -STEP),
      ArrowDown: () => turn(0, STEP),
      Home: reset,
      "+": () => { zoom = Math.min(3, zoom * 1.2); },
      "-": () => { zoom = Math.max(0.5, zoom / 1.2); },
    };
    keys["="] = keys["+"];
    stage.addEventListener("keydown", (event) => {
      if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation();
      keys[event.key]();
      draw();
      say();
    });
    stage.addEventListener("pointerdown", (event) => {
      if (event.button || held) return;
      held = event;
      stage.setPointerCapture(event.pointerId);
    });
    stage.addEventListener("pointermove", (event) => {
      if (!held || held.pointerId !== event.pointerId) return;
      turn((held.clientX - event.clientX) / 2, (event.clientY - held.clientY) / 2);
      held = event;
      draw();
    });
    for (const end of ["pointerup", "pointercancel"]) {
      stage.addEventListener(end, () => { held = null; say(); });
    }
    stage.addEventListener("dblclick", () => { reset(); draw(); say(); });

    if (slider) {
      const input = slider.querySelector("input"), value = slider.querySelector("span");
      const move = () => {
        frame = Number(input.value);
        value.textContent = data.frames[frame];
        input.setAttribute("aria-valuetext", data.frames[frame]);
        if (data.texts) {
          pictures.forEach((svg) => svg.setAttribute("aria-label", data.texts[frame]));
        }
      };
      input.addEventListener("input", () => { move(); draw(); say(); });
      input.value = frame;
      move();
      slider.hidden = false;
    }
    // only now: without the script there would be nothing to turn, and no stop for the Tab key
    stage.tabIndex = 0;
    stage.setAttribute("role", "application");
    stage.setAttribute("aria-roledescription", "3D view, turned by the arrow keys");
    find("help").hidden = false;
    reset();
  }
  document.querySelectorAll(".pose-view:not([data-live])").forEach(start);
})();
"""

STYLE = """
.pose-view { --pv-left: LEFT; --pv-right: RIGHT; --pv-centre: #444; margin: 0.5rem 0; }
html[data-theme=dark] .pose-view, body[data-jp-theme-light=false] .pose-view {
  --pv-left: #4aa8e8; --pv-right: #f07f35; --pv-centre: #ccc;
}
.pv-stage { display: grid; grid-template-columns: repeat(auto-fit, minmax(8rem, 1fr));
  align-items: end; gap: 0.5rem; touch-action: pan-y; cursor: grab; user-select: none; }
.pv-stage:focus-visible { outline: 3px solid currentColor; outline-offset: 2px; }
.pv-panel { min-width: 0; text-align: center; }
.pv-stage svg { display: block; width: 100%; }
.pose-view path { fill: none; stroke: var(--pv-centre); stroke-linecap: round; }
.pose-view .pv-left { stroke: var(--pv-left); }
.pose-view .pv-right { stroke: var(--pv-right); }
.pose-view .pv-1 { stroke-dasharray: 60 70; }
.pose-view .pv-2 { stroke-dasharray: 1 60; }
.pose-view .pv-line { stroke: currentColor; }
.pv-legend span { display: inline-block; margin-right: 1.2em; }
.pv-legend svg { display: inline; width: 2.6em; height: 0.65em; margin-right: 0.4em; }
.pose-view .pv-ring { stroke-width: 6; opacity: 0.5; }
.pose-view p, .pv-slider { margin: 0.2rem 0; font-size: 0.9em; }
.pv-slider { display: flex; flex-wrap: wrap; align-items: center; gap: 0 0.6em; }
.pv-slider[hidden] { display: none; }
.pv-slider label { display: contents; }
.pv-slider input { width: min(100%, 24em); vertical-align: middle; margin: 0 0.6em; }
"""


def shrink(text: str) -> str:
    """A script or a style without indents, empty lines and whole-line comments.

    >>> shrink('''
    ...   // why
    ...   a();
    ... ''')
    'a();'
    """
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))


__all__ = ["SCRIPT", "STYLE", "shrink"]
