// Sliders over figures and poses that turn: the same elements in JupyterLab and in the pages.
// Nothing is loaded, no global name is left, and nothing moves by itself.
(() => {
  "use strict";
  if (customElements.get("figure-slider")) return;
  const clamp = (x, low, high) => Math.min(high, Math.max(low, x));

  // Shows one of many pictures; the first slider chooses among rows of what the second chooses from.
  class FigureSlider extends HTMLElement {
    connectedCallback() {
      const images = [...this.querySelectorAll("img")];
      const inputs = [...this.querySelectorAll("input")];
      const status = this.querySelector("[role=status]");
      const show = () => {
        const index = inputs.reduce((n, input) => n * (+input.max + 1) + +input.value, 0);
        images.forEach((image, n) => { image.hidden = n !== index; });
        if (status.textContent !== images[index].alt) status.textContent = images[index].alt;
      };
      inputs.forEach((input) => name(input, show));
      this.querySelector(".slider-controls").hidden = false;
      show();
    }
  }

  // Gives a range input the texts of its positions, which it has in data-texts.
  function name(input, changed) {
    const texts = JSON.parse(input.dataset.texts), output = input.nextElementSibling;
    const tell = () => {
      output.textContent = texts[+input.value];
      input.setAttribute("aria-valuetext", texts[+input.value]);
    };
    input.value = input.getAttribute("value"); // browsers keep an older choice on reload
    input.addEventListener("input", () => { tell(); changed(); });
    // in JupyterLab the arrow keys would also choose another cell
    input.addEventListener("keydown", (event) => event.stopPropagation());
    tell();
  }

  const STEP = 5, DEGREE = Math.PI / 180, DISTANCE = 6000, HALF = 1150, RADIUS = 1000;

  class PoseView extends HTMLElement {
    connectedCallback() {
      this.data = JSON.parse(this.dataset.poses);
      this.stage = this.querySelector(".pose-stage");
      this.status = this.querySelector("[role=status]");
      this.frame = 0;
      this.stage.replaceChildren(...this.data.titles.map((title) => this.panel(title)));
      this.addKeys();
      this.addPointer();
      const input = this.querySelector("input");
      if (input) {
        const choose = () => { this.frame = +input.value; };
        name(input, () => { choose(); this.draw(); this.say(); });
        choose();
        this.querySelector(".slider-controls").hidden = false;
      }
      this.reset();
      this.draw();
    }

    panel(title) {
      const panel = document.createElement("div");
      panel.textContent = title;
      const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      svg.setAttribute("viewBox", `${-HALF} ${-HALF} ${2 * HALF} ${2 * HALF}`);
      svg.setAttribute("aria-hidden", "true"); // the stage tells what is to be seen
      panel.append(svg);
      return panel;
    }

    // selfpose.camera's rotations about the middle, then a mild perspective
    project(x, y, z) {
      const a = this.azimuth * DEGREE, e = this.elevation * DEGREE;
      const u = x * Math.cos(a) + z * Math.sin(a), w = z * Math.cos(a) - x * Math.sin(a);
      const v = y * Math.cos(e) - w * Math.sin(e), depth = y * Math.sin(e) + w * Math.cos(e);
      const k = this.zoom * DISTANCE / (DISTANCE + depth);
      return { text: `${Math.round(u * k)} ${Math.round(v * k)}`, depth };
    }

    bones(frames, n) {
      const flat = frames[Math.min(this.frame, frames.length - 1)];
      const joints = [];
      for (let i = 0; i < flat.length; i += 3) joints.push(this.project(...flat.slice(i, i + 3)));
      return this.data.bones.map(([i, j], b) => {
        const depth = (joints[i].depth + joints[j].depth) / 2;
        const near = clamp((1 - depth / RADIUS) / 2, 0, 1);
        const path = `<path class="${this.data.sides[b]} overlaid-${n}" ` +
          `d="M${joints[i].text}L${joints[j].text}" ` +
          `stroke-width="${Math.round(22 + 30 * near)}" opacity="${(0.6 + 0.4 * near).toFixed(2)}"/>`;
        return { depth, path };
      });
    }

    // A circle on the ground with a spoke that points to the camera.
    ring() {
      const points = [];
      for (let t = 0; t <= 360; t += 15) {
        const x = 500 * Math.sin(t * DEGREE), z = -500 * Math.cos(t * DEGREE);
        points.push(this.project(x, this.data.ground, z).text);
      }
      points.push(this.project(0, this.data.ground, -700).text);
      return `<path class="ring" d="M${points.join("L")}"/>`;
    }

    draw() {
      this.stage.querySelectorAll("svg").forEach((svg, k) => {
        const lines = this.data.panels[k].flatMap((frames, n) => this.bones(frames, n));
        lines.sort((p, q) => q.depth - p.depth); // near bones over far ones
        svg.innerHTML = this.ring() + lines.map((line) => line.path).join("");
      });
    }

    say() {
      const view = `Azimuth ${Math.round(this.azimuth)}°, elevation ${Math.round(this.elevation)}°.`;
      this.status.textContent = [view, (this.data.texts || [])[this.frame]].join(" ").trim();
    }

    reset() {
      [this.azimuth, this.elevation] = this.data.view;
      this.zoom = 1;
    }

    turn(across, down) {
      this.azimuth = ((this.azimuth + across + 540) % 360) - 180;
      this.elevation = clamp(this.elevation + down, -90, 90);
    }

    addKeys() {
      const zoom = (factor) => { this.zoom = clamp(this.zoom * factor, 0.5, 3); };
      const keys = {
        ArrowLeft: () => this.turn(STEP, 0), ArrowRight: () => this.turn(-STEP, 0),
        ArrowUp: () => this.turn(0, -STEP), ArrowDown: () => this.turn(0, STEP),
        Home: () => this.reset(), "+": () => zoom(1.2), "=": () => zoom(1.2), "-": () => zoom(1 / 1.2),
      };
      this.stage.addEventListener("keydown", (event) => {
        if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
        event.preventDefault();
        event.stopPropagation();
        keys[event.key]();
        this.draw();
        this.say();
      });
    }

    addPointer() {
      const stage = this.stage;
      let held = null;
      stage.addEventListener("pointerdown", (event) => {
        if (event.button || held) return;
        held = event;
        stage.setPointerCapture(event.pointerId);
      });
      stage.addEventListener("pointermove", (event) => {
        if (!held || held.pointerId !== event.pointerId) return;
        this.turn((held.clientX - event.clientX) / 2, (event.clientY - held.clientY) / 2);
        held = event;
        this.draw();
      });
      const letGo = () => { held = null; this.say(); };
      stage.addEventListener("pointerup", letGo);
      stage.addEventListener("pointercancel", letGo);
      stage.addEventListener("dblclick", () => { this.reset(); this.draw(); this.say(); });
    }
  }

  customElements.define("figure-slider", FigureSlider);
  customElements.define("pose-view", PoseView);
})();
